"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  const rows = all(".row").map((section) => ({
    section,
    wanted: find(".wanted", section),
    tiles: all(".tile", section),
  }));
  const tiles = rows.flatMap((row) => row.tiles);
  const visible = () => tiles.filter((tile) => !tile.hidden);

  /* Filter: no chip pressed shows every status; every word of the search must be in the row or the picture. */
  const search = byId("search");
  const chips = all(".chip");
  const shown = byId("shown");
  const texts = new Map();
  const textOf = (element) => {
    if (!texts.has(element)) {
      texts.set(element, `${element.dataset.label ?? ""} ${element.textContent}`.toLowerCase());
    }
    return texts.get(element);
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.status));
    let count = 0;
    for (const row of rows) {
      const rowText = words.length ? textOf(row.wanted) : "";
      let any = false;
      for (const tile of row.tiles) {
        const ok =
          (wanted.size === 0 || wanted.has(tile.dataset.status)) &&
          words.every((word) => rowText.includes(word) || textOf(tile).includes(word));
        tile.hidden = !ok;
        any ||= ok;
        count += ok;
      }
      row.section.hidden = !any;
    }
    const number = tiles.length.toLocaleString("en");
    shown.textContent =
      count === tiles.length ? `${number} picture${count === 1 ? "" : "s"}` : `${count.toLocaleString("en")} of ${number}`;
    byId("nothing").hidden = count > 0 || tiles.length === 0;
  };

  const showAll = () => {
    search.value = "";
    for (const chip of chips) chip.ariaPressed = "false";
    filter();
  };

  let waiting = 0;
  search.hidden = false;
  search.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(filter);
  });
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.ariaPressed = chip.ariaPressed === "true" ? "false" : "true";
      filter();
    });
  }
  find("button", byId("nothing")).addEventListener("click", showAll);

  /* The big view: the preview at once, the original as soon as it is there. */
  const view = byId("view");
  const picture = byId("view-picture");
  const note = byId("view-note");
  let current = null;

  /* What a channel's file takes of its picture, and what of that is safe, as a frame over the picture. */
  const frame = byId("frame");
  const stage = find(".framed");
  let kept = ""; /* the channels whose frame stays, from picture to picture */

  const outline = ([left, top, right, bottom]) => `M${left} ${top}H${right}V${bottom}H${left}Z`;

  const draw = (file, place) => {
    const image = file && find("img:not([hidden])", place);
    frame.toggleAttribute("hidden", !image);
    if (!image) return;
    const size = [image.getAttribute("width"), image.getAttribute("height")];
    const cut = outline(file.dataset.cut.split(" "));
    const safe = file.dataset.safe ? outline(file.dataset.safe.split(" ")) : "";
    const shapes = { away: outline([0, 0, ...size]) + cut, covered: safe && cut + safe, edge: cut + safe, cut, safe };
    frame.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    for (const [name, shape] of Object.entries(shapes)) find(`.${name}`, frame).setAttribute("d", shape);
    place.append(frame);
  };

  const framed = () => all("#view-facts .files a[data-cut]");

  const drawKept = () => {
    for (const file of framed()) find("button", file.parentElement).ariaPressed = String(file.textContent === kept);
    draw(framed().find((file) => file.textContent === kept), stage);
  };

  const point = (event) => {
    const file = event.target.closest(".files a[data-cut]");
    const tile = event.target.closest(".tile");
    if (view.open && !file) drawKept();
    else if (view.open) draw(file, stage);
    else draw(file ?? (event.target.closest(".shot") && find(".files a[data-safe]", tile)), tile && find(".shot", tile));
  };
  document.addEventListener("mouseover", point);
  document.addEventListener("focusin", point);

  const showFiles = () => {
    const files = find("#view-facts .files");
    if (files) find("#view-facts dl").before(files);
    for (const file of framed()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = file.dataset.safe ? "Safe area" : "What is cut";
      button.setAttribute("aria-label", `${button.textContent} of ${file.textContent}`);
      button.addEventListener("click", () => {
        kept = kept === file.textContent ? "" : file.textContent;
        drawKept();
      });
      file.before(button);
    }
    drawKept();
  };

  const copy = (nodes) => nodes.filter(Boolean).map((node) => node.cloneNode(true));

  const showOriginal = (tile, shot) => {
    const original = new Image();
    original.addEventListener("load", () => {
      if (current !== tile) return;
      picture.src = original.src;
      note.textContent = "";
    });
    original.addEventListener("error", () => {
      if (current !== tile) return;
      const place = document.createElement("code");
      place.textContent = shot.dataset.place;
      note.replaceChildren("This is the preview: the original cannot be reached from this page. It is at ", place);
      byId("view-open").hidden = true;
      for (const file of all("#view-facts .files a[href]")) {
        const path = document.createElement("code");
        path.textContent = file.title;
        file.parentElement.append(path);
        file.removeAttribute("href");
      }
    });
    original.src = shot.href;
  };

  const show = (tile) => {
    current = tile;
    const shot = find(".shot", tile);
    const preview = find("img", shot);
    const isPicture = shot.matches("a");
    view.classList.remove("actual");
    note.textContent = "";
    picture.hidden = !preview;
    picture.removeAttribute("src");
    if (preview) {
      picture.src = preview.src;
      picture.width = preview.getAttribute("width");
      picture.height = preview.getAttribute("height");
      picture.alt = preview.alt;
    }
    byId("view-empty").hidden = Boolean(preview);
    byId("view-empty").textContent = find(".mark", tile).textContent;
    byId("view-title").textContent = tile.dataset.label;
    byId("view-facts").className = tile.dataset.status;
    byId("view-facts").replaceChildren(...copy([...find("figcaption", tile).children]));
    showFiles();
    const prompts = all(".prompt", tile.closest(".row")).filter((prompt) => prompt.dataset.prompt === tile.dataset.prompt);
    byId("view-prompt").replaceChildren(...copy(prompts));
    for (const details of all("#view-prompt details")) details.open = true;
    const list = visible();
    byId("view-count").textContent = `${list.indexOf(tile) + 1} of ${list.length}`;
    byId("view-open").hidden = !isPicture;
    if (isPicture) {
      byId("view-open").href = shot.href;
      showOriginal(tile, shot);
    }
    if (!view.open) view.showModal();
    view.scrollTop = 0;
  };

  const step = (by) => {
    const list = visible();
    show(list[(list.indexOf(current) + by + list.length) % list.length]);
  };

  for (const tile of tiles) {
    find(".shot", tile).addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return; /* a new tab is the person's own choice */
      event.preventDefault();
      show(tile);
    });
  }
  picture.addEventListener("click", () => view.classList.toggle("actual"));
  byId("view-previous").addEventListener("click", () => step(-1));
  byId("view-next").addEventListener("click", () => step(1));
  byId("view-close").addEventListener("click", () => view.close());
  byId("view-facts").addEventListener("click", (event) => {
    if (event.target.closest(".keeper")) view.close();
  });
  view.addEventListener("close", () => {
    if (!current) return;
    const shot = find(".shot", current);
    current = null;
    shot.focus();
    shot.scrollIntoView({ block: "nearest" });
  });

  /* Keys. */
  const move = (from, by) => {
    const list = visible();
    const next = list[list.indexOf(from.closest(".tile")) + by];
    if (next) find(".shot", next).focus();
  };

  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (view.open) {
      if (by) {
        event.preventDefault();
        step(by);
      }
    } else if (event.target === search) {
      if (event.key === "Escape") {
        showAll();
        search.blur();
      }
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (by && event.target.matches(".shot")) {
      event.preventDefault();
      move(event.target, by);
    }
  });

  filter();
})();
