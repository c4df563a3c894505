"""How many labelled images stand behind a study's numbers, and what of them was read differently, by hand."""

import pandas as pd

from bench.report.evidence import evidence_document, evidence_lines, few_images, labelled_images, read_differently

RECORDS = pd.DataFrame(
    {
        "phase": ["tune", "tune", "confirm", "confirm"],
        "labelled_train_images": [100.0, 101.0, 101.0, None],
        "labelled_val_images": [19.0, 18.0, 20.0, 500.0],
        "note_iscrowd": [2.0, None, 3.0, 1.0],
        "note_skeleton_limbs": [1.0, 1.0, 1.0, None],
        "note_no_keypoints": [None, None, None, None],
    }
)


def test_the_most_that_a_trial_has_counted():
    """Settings are chosen on `select`, and the confirm phase is scored on `report`; a trial without counts is none."""
    assert labelled_images(RECORDS) == {"train": 101, "select": 19, "report": 20}
    assert labelled_images(RECORDS[:2]) == {"train": 101, "select": 19}
    assert labelled_images(RECORDS[3:]) == {}
    assert labelled_images(RECORDS.drop(columns="phase")) == {}
    assert read_differently(RECORDS) == {"iscrowd": 3, "skeleton-limbs": 1}
    assert read_differently(RECORDS[["phase"]]) == {}


def test_evidence_as_a_document_and_in_words():
    assert evidence_document(RECORDS) == {
        "labelled_images": {"train": 101, "select": 19, "report": 20},
        "read_differently": {"iscrowd": 3, "skeleton-limbs": 1},
    }
    few = "Select has 19 labelled images to choose settings by: fewer than 20 tell little."
    assert few_images(RECORDS) == few
    assert evidence_lines(RECORDS) == [
        f"Labelled data: train 101 labelled images, select 19, report 20. {few}",
        "The data set leaves its skeleton open: limbs were derived, or read in another way than COCO's. "
        "`posebench data check` shows it.",
        "Annotations read differently than written: iscrowd 3. `posebench data check` explains each.",
    ]
    enough = RECORDS[:1].assign(labelled_val_images=20.0, note_iscrowd=0.0, note_skeleton_limbs=0.0)
    assert evidence_lines(enough)[0] == "Labelled data: train 100 labelled images, select 20."
    other = RECORDS[["phase"]]
    assert (evidence_document(other), few_images(other), evidence_lines(other)) == ({}, "", [])
