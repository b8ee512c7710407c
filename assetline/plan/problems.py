"""Every code that planning can give, with its meaning and its cure; `docs/sheet.md` shows this table."""

from __future__ import annotations

from assetline.sheet.problems import Code

CODES: dict[str, Code] = {
    "placeholder-unknown": Code("error", "A `{name}` in the text is no column.", "Take the column that is suggested."),
    "placeholder-empty": Code("warning", "A `{column}` of the text is empty in this row.", "Fill the cell."),
    "placeholder-literal": Code(
        "warning",
        "A column's name in other brackets, or a choice inside a cell: it stands in the prompt as it is written.",
        "Write `{column}`; write the choice `{red|blue}` into the prompt.",
    ),
    "brace-unbalanced": Code("error", "A brace opens or closes without its partner.", "Write a literal brace twice."),
    "brace-unclear": Code("error", "Braces hold neither a column nor a choice.", "Write `{column}` or `{red|blue}`."),
    "choices-too-many": Code("error", "The choices of a text make more than 64 prompts.", "Take some out."),
    "wildcard-unknown": Code("error", "No such wildcard.", "Add `campaigns/wildcards/NAME.txt`, or correct the name."),
    "variants-too-many": Code(
        "error", "Choices x variants are more than the limit.", "Ask for fewer, or split the row."
    ),
    "text-too-long": Code("error", "Filled in, a text is longer than the limit.", "Shorten it, or the cells it uses."),
    "style-unknown": Code("error", "No such style.", "Take the nearest, or add it to `campaigns/styles.yaml`."),
    "seed-unused": Code(
        "error",
        "The workflow takes no seed, so that all variants would be the same picture; the model takes no seed.",
        "Write 1 variant, or take a workflow with a seed. For a model: leave the cell empty.",
    ),
    "lane-missing": Code("error", "This run has no lane for the row's backend.", "Add the lane, or write `auto`."),
    "workflow-unknown": Code("error", "No such workflow.", "Take the nearest; `assetline workflows list` shows all."),
    "workflow-version": Code(
        "error",
        "The row pins another version of the workflow than the one that is there.",
        "Pin the one that is there, or put the other one back.",
    ),
    "workflow-unused": Code(
        "error",
        "The row is for Replicate, which takes no workflow.",
        "Empty `workflow`, or write `comfyui` as backend.",
    ),
    "model-missing": Code("error", "The row is for Replicate and names no model there.", "Write one of those named."),
    "model-unknown": Code("error", "Replicate has no such model, as far as assetline knows.", "Take the nearest."),
    "negative-unused": Code(
        "error",
        "The model takes no negative prompt. Where it is a style's: a warning, and it is left out.",
        "Say in the prompt what should be there, or take another model.",
    ),
    "profile-unknown": Code("error", "The workflow has no such profile.", "Take one that is named."),
    "parameter-unknown": Code("error", "The workflow or model does not take this column.", "Take the one that does."),
    "parameter-unfit": Code(
        "error", "The workflow or model cannot take this value.", "Take the nearest that is named."
    ),
    "parameter-missing": Code(
        "error", "The workflow or model needs this column. For a comp: a warning.", "Fill the cell."
    ),
    "reference-unreadable": Code(
        "error", "The reference image is missing or no picture. For a comp: a warning.", "Correct the path."
    ),
    "size-range": Code("error", "A ratio makes a side outside the limits.", "Take a ratio nearer to 1:1."),
    "size-unfit": Code(
        "error",
        "The workflow or model cannot make this size. For a comp: a warning.",
        "Take the nearest that is named.",
    ),
    "size-nearest": Code(
        "warning", "The model makes other pixels of this size; how many is said.", "Nothing, if that will do."
    ),
    "combine-unfit": Code(
        "error", "`combine` is `zip`, and there are more sizes than pictures.", "Raise `variants`, or take `product`."
    ),
    "worker-lacks": Code(
        "error",
        "No worker has this model file, LoRA, sampler or scheduler. Where a worker did not answer: a warning.",
        "Take the nearest that is named, or copy the file to a worker.",
    ),
    "worker-lacks-node": Code(
        "error",
        "No worker has a node class of the workflow. Where a worker did not answer: a warning.",
        "Install the custom nodes that are named, or take another workflow.",
    ),
    "worker-split": Code(
        "error",
        "Each thing that the row needs is on some worker, but no worker has all of them. "
        "Where a worker did not answer: a warning.",
        "Copy what is missing to one of them.",
    ),
    "worker-silent": Code(
        "warning", "A worker did not answer; what it has was not checked.", "Start it, or take it out of the lanes."
    ),
    "workflow-completed": Code(
        "warning",
        "A worker's newer nodes ask for inputs that the workflow does not have; their defaults are used.",
        "Import the workflow anew to choose them yourself.",
    ),
    "same-request": Code(
        "warning",
        "The row asks for a picture that is asked for already; it is made once.",
        "Nothing, if that is meant.",
    ),
}
