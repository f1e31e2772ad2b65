"""Object detection: pictures with boxes, a small detector without anchors, its loss, and mean average precision."""

from __future__ import annotations

from deepprinciples.domains.detection.average_precision import mean_average_precision
from deepprinciples.domains.detection.boxes import Detections, decode, diou, giou, iou
from deepprinciples.domains.detection.detection_loss import detection
from deepprinciples.domains.detection.detector import detector
from deepprinciples.domains.detection.scene_pictures import draw, save_scenes
from deepprinciples.domains.detection.scenes import boxed_pictures, scattered

__all__ = ["TABLES", "Detections", "decode", "diou", "draw", "giou", "iou", "save_scenes"]

TABLES = {
    "data": {"scattered": scattered, "boxed_pictures": boxed_pictures},
    "model": {"detector": detector},
    "loss": {"detection": detection},
    "metric": {"mean_average_precision": mean_average_precision},
}
