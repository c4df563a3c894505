"""Find people in pictures with a trained checkpoint, print them, and draw them.

python examples/predict_and_draw.py runs/example/last.safetensors holiday.jpg party.png --out drawn
"""

import argparse
from pathlib import Path

import cv2

from posemodel import DataError, draw_to_scale, iter_predictions
from posemodel.network.prepare import prepare_network


def main() -> None:
    """Process the pictures one by one; a picture that cannot be read is named and skipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("drawn"))
    parser.add_argument(
        "--min-score", type=float, default=0.1, help="least score of a person that is drawn, from 0 to 1"
    )
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    network, _ = prepare_network(arguments.checkpoint)
    skeleton = network.skeleton
    predictions = iter_predictions(network, arguments.pictures, flip=skeleton.flips)
    for number, (picture, detections) in enumerate(zip(arguments.pictures, predictions, strict=True)):
        if isinstance(detections, DataError):  # `predict` would raise this error
            print(f"skipped: {detections}")
            continue
        people, scores = detections
        shown = people[scores >= arguments.min_score]
        print(f"{picture}: {len(people)} found, {len(shown)} drawn")
        for person in shown:
            x, y, score = person[0]
            part = skeleton.parts[0]
            print(f"  {part} at {x:.1f}, {y:.1f} (score {score:.2f})" if score else f"  {part} not found")
        # Coordinates are in pixels as stored, so OpenCV must not rotate the picture by its EXIF orientation.
        image = cv2.imread(str(picture), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        cv2.imwrite(
            str(arguments.out / f"{number:03d}-{picture.stem}.png"), draw_to_scale(image, shown, skeleton=skeleton)
        )


if __name__ == "__main__":
    main()
