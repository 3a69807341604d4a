"""From the coordinates in a file to a plane in which distances are Euclidean, and back."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError
from ._table import Table

Array = NDArray[np.float64]

EARTH_RADIUS = 6371.0088  # km; the mean radius R1 of the GRS 80 ellipsoid


class Chart(Protocol):
    """A way to lay points out in a plane."""

    unit: str

    def to_plane(self, coordinates: Array) -> Array:
        """Turn rows of the file's coordinates into rows of plane coordinates."""

    def from_plane(self, places: Array) -> Array:
        """Turn rows of plane coordinates back into the file's coordinates."""


class FlatChart:
    """The file's coordinates are the plane."""

    unit = ""

    def to_plane(self, coordinates: Array) -> Array:
        return coordinates

    def from_plane(self, places: Array) -> Array:
        return places


class GlobeChart:
    """The azimuthal equidistant map, in kilometres, around the middle of some places.

    A degree of longitude is 111 km at the equator and half of that in Oslo, so degrees
    are no plane coordinates. On this map every distance *from its centre* is the
    great-circle distance, and near the centre the other distances are nearly so: what
    a search for a central point needs. See J. P. Snyder, "Map projections: a working
    manual", USGS Professional Paper 1395 (1987), pages 191-202.

    Parameters
    ----------
    coordinates : ndarray, shape (n, 2)
        Longitude and latitude in degrees of the places to be mapped.

    Examples
    --------
    >>> chart = GlobeChart(np.array([[0.0, -1.0], [0.0, 1.0]]))
    >>> chart.to_plane(np.array([[0.0, 90.0]])).round(1)  # the pole: a quarter of a turn
    array([[    0. , 10007.6]])
    """

    unit = " km"

    def __init__(self, coordinates: Array) -> None:
        middle = _directions(coordinates).mean(axis=0)
        length = float(np.linalg.norm(middle))
        if length < 1e-6:
            raise InputError(
                "--degrees: the places balance each other around the globe and have no middle, "
                "expected places on one side of it; choose a region"
            )
        self.up = middle / length
        east = np.array([-self.up[1], self.up[0], 0.0])
        # At a pole every direction is south; any frame will do.
        east = np.array([0.0, 1.0, 0.0]) if np.linalg.norm(east) < 1e-12 else east
        self.east = east / np.linalg.norm(east)
        self.north = np.cross(self.up, self.east)

    def to_plane(self, coordinates: Array) -> Array:
        directions = _directions(coordinates)
        flat = np.stack([directions @ self.east, directions @ self.north], axis=1)
        sine = np.linalg.norm(flat, axis=1, keepdims=True)
        angle = np.arctan2(sine, (directions @ self.up)[:, np.newaxis])
        stretch: Array = np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0)
        places: Array = EARTH_RADIUS * stretch * flat
        return places

    def from_plane(self, places: Array) -> Array:
        angle = np.linalg.norm(places, axis=1, keepdims=True) / EARTH_RADIUS
        # np.sinc(t) is sin(pi t) / (pi t), and 1 at 0: no division at the centre.
        flat = places / EARTH_RADIUS * np.sinc(angle / np.pi)
        directions = np.cos(angle) * self.up + flat[:, :1] * self.east + flat[:, 1:] * self.north
        x, y, z = directions.T
        longitude, latitude = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
        coordinates: Array = np.degrees(np.stack([longitude, latitude], axis=1))
        return coordinates


def great_circle_distance(one: Array, many: Array) -> Array:
    """Return the kilometres on the ground from one place to each of many, all in degrees.

    Examples
    --------
    >>> pole, equator = np.array([0.0, 90.0]), np.array([[0.0, 0.0], [100.0, 0.0]])
    >>> great_circle_distance(pole, equator).round(1)
    array([10007.6, 10007.6])
    """
    start, ends = _directions(one[np.newaxis]), _directions(many)
    sine = np.linalg.norm(np.cross(start, ends), axis=1)
    angle: Array = np.arctan2(sine, ends @ start[0])
    return EARTH_RADIUS * angle


def check_degrees(table: Table) -> None:
    """Refuse numbers that can't be a longitude and a latitude."""
    for column, limit in enumerate((180.0, 90.0)):
        kind = "longitude" if column == 0 else "latitude"
        for row in np.flatnonzero(np.abs(table.values[:, column]) > limit):
            table.reject(int(row), column, f"a {kind} from {-limit:g} to {limit:g} degrees")


def _directions(coordinates: Array) -> Array:
    longitude, latitude = np.radians(coordinates).T
    around = np.cos(latitude)
    return np.stack(
        [around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)], axis=1
    )
