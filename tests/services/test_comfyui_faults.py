"""A campaign on two to four workers of which one goes wrong at some moment: nothing is lost, nothing is stored twice.

One seed of each fault; `python -m benchmarks.faults` runs twenty.
Which other test covers which point of what a client of ComfyUI must handle (each file is `tests/backends/test_comfyui_*.py`, `answers` in `tests/core`):

| point | tests |
| --- | --- |
| 1 own prompt_id; a lost POST answer is looked for, never sent again | backend: `..._lost_answer_...`, `..._found_...`; services/test_lost_answers.py; here: `answer lost`, `answer unreadable`, `post lost`, `post late` |
| 2 a filename_prefix of its own per attempt | backend: `every_attempt_has_its_own_id_and_prefix...`, `a_cached_result_whose_file_is_gone...`; follow: `another_prompt_s_picture...`, `two_workers_that_share_one_output_folder...`; here: `overwritten`, `shared folder` |
| 3 200 with node_errors; 400 by class; 500 text; refused connection | answers: `each_refusal_of_the_real_server...`; backend: `accepted_in_part`, `without_the_checkpoint`, `a_status_without_a_reason`, `probe_of_a_dead_worker`; here: `refused with 500`, `accepted in part`, `checkpoint removed`, `class removed`, `killed` |
| 4 the websocket is a hint: fresh id, heartbeat, drained; a limit for each prompt | socket: all of it; answers: `stops_moving`, `its_turn_is_late`; timeouts: all of it; here: `socket ...` |
| 5 absent twice from queue and history means lost | answers: `one_absence_is_no_loss...`; follow: `a_restart_wiped_out`, `the_queue_is_read_before_the_history`; here: `restarted`, `queue cleared`, `history cleared` |
| 6 status before outputs, how many pictures, each file decoded | follow: `gives_no_picture_even_where_another_branch...`, `more_than_one_picture`, `no_picture_is_rejected`, `cut_off`; here: `download cut` |
| 7 downloaded at once, then forgotten | backend: `the_history_is_deleted_after_the_download...`; adoption: `a_finished_one_whose_file_is_gone`; here: `outputs wiped` |
| 8 cancel: delete, interrupt by id, look; nobody else's is touched | cancel: all of it; services/test_run_on_comfyui.py: `takes_back_its_own_prompts_alone`; here: `interrupted` |
| 9 few queued ahead, counting others' prompts; the worker's queue is volatile | shared: all of it; services/test_adoption.py; adoption: all of it; here: `crowded`, `restarted`, `killed and restarted` |
| 10 a dead thread, a stuck prompt, a worker that hangs | follow: `accepts_and_runs_nothing`, `runs_too_long`, `answers_none`; socket: `does_not_let_itself_be_interrupted`; here: `thread dead`, `hung`, `hung for a while` |
| 11 seeds are whole numbers up to 2**64-1 | backend: `the_largest_seed_arrives_as_the_same_whole_number` |
| 12 out of memory and missing models are this worker's | follow: `out_of_memory...`, `a_broken_checkpoint_is_named`; here: `out of memory`, `checkpoint removed` |
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.comfyui_faults import FAULTS, run_case

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_and_nothing_stored_twice(name: str, tmp_path: Path) -> None:
    case = run_case(name, 1, tmp_path)
    assert case.broken == [], case
