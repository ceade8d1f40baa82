"""What is seen of long work."""

from training.metrics import progress


def test_progress_of_a_part_is_not_shown_within_the_whole(capsys):
    for shown, lines in ((True, ["ranking: 1/1"]), (False, ["scoring: 2/2"])):
        with progress(1, 0, 1, shown=shown, what="ranking") as outer:
            with progress(2, 0, 1, what="scoring") as inner:
                inner(2)
            outer(1)
        printed = capsys.readouterr().err.splitlines()
        assert [line.split("  ")[0] for line in printed] == lines
    with progress(3, 0, 1, what="scoring") as after:
        after(3)
    assert "scoring: 3/3" in capsys.readouterr().err
