"""Autonomous driving: roads and a camera in JAX, an expert to learn from, and how far a model drives by itself."""

from __future__ import annotations

from deepprinciples.domains.driving.closed_loop import meters_in_lane, shifted_view
from deepprinciples.domains.driving.frames import lane, road
from deepprinciples.domains.driving.road_environment import road as road_to_drive
from deepprinciples.domains.driving.road_pictures import draw as draw

TABLES = {
    "data": {"road": road, "lane": lane},
    "metric": {"meters_in_lane": meters_in_lane},
    "environment": {"road": road_to_drive},
    "augment": {"shifted_view": shifted_view},
}
