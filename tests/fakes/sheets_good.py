"""The good half of the corpus: files that look odd and are right, and what their rows must say."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from fakes.sheets import with_part, workbook
from fakes.sheets_corpus import Good, csv, row, shared, xlsx
from openpyxl.comments import Comment
from openpyxl.styles import Font

NINE, EPOCH = datetime(2026, 3, 4, 9), datetime(1904, 1, 1)  # noqa: DTZ001 - cells have no zone
PART = "xl/worksheets/sheet1.xml"
ROWS: list[list[Any]] = [["id", "prompt"], ["a", "a shoe"], ["b", "a hat"]]
READ = (row(2, "a shoe", id="a"), row(3, "a hat", id="b"))
TWO = "id,prompt\na,a shoe\nb,a hat\n"
ACCENTS = (row(2, "a café – 5 €", id="größe"),)
ACCENTED = 'id,prompt\ngröße,"a café – 5 €"\n'


def zeros(sheet: Any) -> None:
    sheet["A2"].number_format = "00000"


def formatted_below(sheet: Any) -> None:
    for number in range(4, 600):
        sheet.cell(number, 1).font = Font(bold=True)


def title(sheet: Any) -> None:
    sheet.merge_cells("A1:C1")


def calculated() -> bytes:
    data = workbook([["id", "prompt"], ["a", "=A1"], ["b", "a hat"]])
    return with_part(
        data, PART, lambda xml: xml.replace('<c r="B2"><f>A1</f><v />', '<c r="B2" t="str"><f>A1</f><v>a shoe</v>')
    )


def filled_down() -> bytes:
    data = workbook([*ROWS, *([None, f'=IF(A{number}="","",1)'] for number in range(4, 300))])
    return with_part(data, PART, lambda xml: xml.replace("</f><v />", "</f><v></v>").replace('"><f>', '" t="str"><f>'))


def as_excel() -> bytes:
    return shared(workbook(ROWS))


def rich_text() -> bytes:
    """Runs of one text in two faces, with a reading in kana that no one sees as text."""
    runs = '<r><t xml:space="preserve">a </t></r><r><rPr><b/></rPr><t>shoe</t></r><rPh sb="0" eb="1"><t>never</t></rPh>'
    return with_part(shared(workbook(ROWS)), "xl/sharedStrings.xml", lambda xml: xml.replace("<t>a shoe</t>", runs))


def prefixed() -> bytes:
    """As some programs write it: every tag with a prefix, rows and cells without their place."""

    def change(xml: str) -> str:
        xml = xml.replace(' r="1"', "").replace("<sheetData>", "<sheetData>")
        for name in ("worksheet", "sheetData", "row", "c", "v", "sheetPr", "outlinePr", "pageSetUpPr", "dimension"):
            xml = (
                xml.replace(f"<{name} ", f"<x:{name} ")
                .replace(f"<{name}>", f"<x:{name}>")
                .replace(f"</{name}>", f"</x:{name}>")
            )
        return xml.replace("<x:worksheet xmlns=", "<x:worksheet xmlns:x=", 1)

    return with_part(workbook(ROWS), PART, change)


def options(sheet: Any) -> None:
    other = sheet.parent.create_sheet("Options", 0)
    for line in (["Option", "Value"], ["Style", "minimalist"], ["variants", 2], ["Size", "4:5"], ["max cost", 2.5]):
        other.append(line)


def decorated(sheet: Any) -> None:
    sheet["B2"].comment = Comment("mine", "Ana")
    sheet.auto_filter.ref = "A1:B3"
    sheet.freeze_panes = "A2"
    sheet.parent.create_sheet("Notes").append(["nothing"])


def very_hidden(sheet: Any) -> None:
    other = sheet.parent.create_sheet("Old", 0)
    other.append(["prompt"])
    other.append(["never"])
    other.sheet_state = "veryHidden"


GOOD = (
    Good("UTF-8", csv(ACCENTED), ACCENTS),
    Good("UTF-8 with BOM", csv(ACCENTED, "utf-8-sig"), ACCENTS),
    Good("UTF-16 as Excel's Unicode text", csv(ACCENTED.replace(",", "\t"), "utf-16"), ACCENTS, "plan.txt"),
    Good("UTF-32", csv(ACCENTED, "utf-32"), ACCENTS),
    Good("semicolons", csv(TWO.replace(",", ";")), READ),
    Good("tabs", csv(TWO.replace(",", "\t")), READ, "plan.tsv"),
    Good("bars", csv(TWO.replace(",", "|")), READ),
    Good("sep=; as Excel writes it", csv("sep=;\r\n" + TWO.replace(",", ";")), READ),
    Good("one column with the letter p", csv("prompt\na shoe\na hat\n"), (row(2, "a shoe"), row(3, "a hat"))),
    Good("one column with commas, TSV", csv("prompt\na shoe, red\n"), (row(2, "a shoe, red"),), "plan.tsv"),
    Good("semicolons inside commas", csv('prompt,tags\n"a; b; c","x; y"\n'), (row(2, "a; b; c", tags=("x", "y")),)),
    Good("line ends of Windows", csv(TWO.replace("\n", "\r\n")), READ),
    Good("line ends of old Macs", csv(TWO.replace("\n", "\r")), READ),
    Good("no line end at the end", csv(TWO.rstrip()), READ),
    Good("titles above the header", csv("Spring 2026,,\nfor Ana\n\nid,prompt\na,a shoe\n"), (row(5, "a shoe", id="a"),)),
    Good("blank lines", csv("id,prompt\n\na,a shoe\n,,\n\nb,a hat\n\n\n"), (row(3, "a shoe"), row(6, "a hat"))),
    Good("a cell of two lines", csv('id,prompt\na,"a\nshoe"\nb,a hat\n'), (row(2, "a\nshoe"), row(3, "a hat"))),
    Good("quotation marks twice", csv('prompt,n\n"14"" laptop",1\n14" tablet,1\n'), (row(2, '14" laptop'), row(3, '14" tablet'))),
    Good("blanks after delimiters", csv('id, prompt\na, "a shoe, red"\n'), (row(2, "a shoe, red"),)),
    Good("numbers stay text", csv("id,prompt,land\n00123,x,NA\n1E5,y,N/A\n"), (row(2, "x", id="00123", extra={"land": "NA"}), row(3, "y", id="1E5"))),
    Good("whole numbers of pandas", csv("prompt,steps,variants\nx,25.0,\n"), (row(2, "x", parameters={"steps": 25}),)),
    Good("a comma in a decimal", csv("prompt;cfg\nx;7,5\n"), (row(2, "x", parameters={"cfg": 7.5}),)),
    Good("blanks of all kinds", csv("prompt\n\u00a0 a\u202f\u201cred\u201d shoe \u3000\n"), (row(2, "a \u201cred\u201d shoe"),)),
    Good("headers in any dress", csv("SKU ,Positive-Prompt,NEGATIVE\u00a0PROMPT,Qty\na,x,y,2\n"), (row(2, "x", id="a", negative_prompt="y", variants=2),)),
    Good("own columns", csv("prompt,Product Colour,status\n{product_colour},sage,new\n"), (row(2, "{product_colour}", extra={"product_colour": "sage", "status": "new"}),)),
    Good("sizes of all kinds", csv("prompt;size\nx;1024X768 px, 4:5; 1.91:1\ny;Instagram Feed\n".replace("; 1.91", ", 1.91")), (row(2, "x"), row(3, "y"))),
    Good("a neutralised formula", csv("prompt,note\n'=a shoe,'@home\n"), (row(2, "=a shoe", extra={"note": "@home"}),)),
    Good("a checked file", csv("id,prompt,status,problem,fix\na,a shoe,error,x,y\nb,a hat,ok,,\n,,error,all of it,\n"), READ),
    Good("a file with results", csv("id,prompt,status,problem,seeds,lane,cost_usd,decision,picture 1\na,a shoe,stored,,1,fpo,0,,/x.png\nb,a hat,not run\n"), READ),
    Good("languages", csv("prompt,prompt@de,product@pt-br\nx,y,z\n"), (row(2, "x", locales={"de": {"prompt": "y"}, "pt-BR": {"product": "z"}}),)),
    Good("any script", csv("id,prompt\n赤い-靴,赤い靴\n", "utf-8"), (row(2, "赤い靴", id="赤い-靴"),)),
    Good("a workbook", xlsx(ROWS), READ),
    Good("zeros by format", xlsx([["SKU", "prompt"], [123, "a shoe"]], zeros), (row(2, "a shoe", id="00123"),)),
    Good("numbers of a workbook", xlsx([["prompt", "width", "height", "cfg"], ["x", 1024.0, 768, 7.5]]), (row(2, "x", parameters={"cfg": 7.5}),)),
    Good("a ratio that became a time", xlsx([["prompt", "size"], ["x", time(16, 9)], ["y", time(4, 5)]]), (row(2, "x"), row(3, "y"))),
    Good("dates in own columns", xlsx([["prompt", "on", "at"], ["x", date(2026, 3, 4), NINE]]), (row(2, "x", extra={"on": "2026-03-04", "at": "2026-03-04 09:00:00"}),)),
    Good("dates among others that no prompt takes", xlsx([["prompt", "note"], ["x", "old"], ["y", NINE], ["z", "new"]]), (row(2, "x"), row(3, "y"), row(4, "z"))),
    Good("dates that a prompt takes", xlsx([["prompt", "on"], ["{on}", NINE], ["{on}", None], ["y", "soon"]]), (row(2, "{on}"), row(3, "{on}"), row(4, "y"))),
    Good("blank rows between, names of columns among the words", csv("id,prompt,kind,tags\na,a style in the size of a model,model,tag\n\nb,hat,item,model\nc,yoga,pose,pose\n\n,hat 500,,\n"), (row(2, "a style in the size of a model"), row(4, "hat", id="b"), row(5, "yoga"), row(7, "hat 500"))),
    Good("channels in an own column beside sizes", csv("prompt,size,kind\nx,4:5,instagram_feed\n"), (row(2, "x"),)),
    Good("formatted blank rows", xlsx(ROWS, formatted_below), READ),
    Good("a merged title", xlsx([["Spring 2026"], [], *ROWS], title), (row(4, "a shoe"), row(5, "a hat"))),
    Good("a calculated formula", calculated, READ),
    Good("formulas filled down that say nothing", filled_down, READ),
    Good("a cell as long as one may be", xlsx([["prompt", "note"], ["x", "n" * 32_767]]), (row(2, "x", extra={"note": "n" * 32_767}),)),
    Good("texts in a part of their own", as_excel, READ),
    Good("rich text", rich_text, READ),
    Good("tags with a prefix", prefixed, READ),
    Good("a worksheet of options", xlsx(ROWS, options), (row(2, "a shoe", styles=("minimalist",), variants=2), row(3, "a hat", variants=2))),
    Good("comments, filters, other worksheets", xlsx(ROWS, decorated), READ),
    Good("a very hidden worksheet before it", xlsx(ROWS, very_hidden), READ),
    Good("a date 1904 workbook", xlsx([["prompt", "on"], ["x", date(2026, 3, 4)]], lambda sheet: setattr(sheet.parent, "epoch", EPOCH)), (row(2, "x", extra={"on": "2026-03-04"}),)),
)  # fmt: skip
