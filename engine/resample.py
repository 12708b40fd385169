"""Many spectra with the same pixels onto a network's grid at once: what engine.grid.regrid does to one, by matrices.

regrid is for files, whose wavelengths differ; training brings hundreds of spectra of one instrument to one grid.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.grid import Float32Array, FloatArray, Grid, LinearGrid, LogGrid

ROWS = 64  # spectra at a time; more do not fit the processor's cache


def resample(flux: Float32Array, ivar: Float32Array, native: Grid, grid: Grid) -> tuple[Float32Array, Float32Array]:
    """(B, native.n) flux and ivar on native pixels -> (B, grid.n), as regrid does: SDSS's own pixels stay as they are,
    others are averaged by inverse variance; a linear grid interpolates."""
    if native == grid:
        return flux, ivar
    if isinstance(grid, LinearGrid):
        return _interpolated(flux, native, grid), _interpolated(ivar, native, grid)
    if isinstance(native, LogGrid) and _aligned(native, grid):
        return _placed(flux, native, grid), _placed(ivar, native, grid)
    return _averaged(flux, ivar, native, grid)


def _aligned(native: LogGrid, grid: LogGrid) -> bool:
    offset = (native.loglam_min - grid.loglam_min) / grid.step
    return native.step == grid.step and abs(offset - round(offset)) < 0.02


def _placed(values: Float32Array, native: LogGrid, grid: LogGrid) -> Float32Array:
    offset = round((native.loglam_min - grid.loglam_min) / grid.step)
    first, last = max(offset, 0), min(offset + native.n, grid.n)
    out = np.zeros((len(values), grid.n), dtype=np.float32)
    out[:, first:last] = values[:, first - offset : last - offset]
    return out


def _interpolated(values: Float32Array, native: Grid, grid: LinearGrid) -> Float32Array:
    low, fraction = _places(native, grid)
    out = np.empty((len(values), grid.n), dtype=np.float32)
    for row, result in zip(values, out, strict=True):  # a row at a time stays in the processor's cache
        left = row[low]
        np.subtract(row[low + 1], left, out=result)
        result *= fraction
        result += left
    out[:, (grid.wave < native.wave[0]) | (grid.wave > native.wave[-1])] = 0
    return out


@functools.lru_cache(maxsize=8)
def _places(native: Grid, grid: LinearGrid) -> tuple[NDArray[np.int64], Float32Array]:
    """(grid.n,) the native pixel to the left of each pixel of the grid, and how far on the way to the next it lies."""
    position = np.interp(grid.wave, native.wave, np.arange(native.n))
    low = np.minimum(position.astype(np.int64), native.n - 2)
    return low, (position - low).astype(np.float32)


def _averaged(flux: Float32Array, ivar: Float32Array, native: Grid, grid: LogGrid) -> tuple[Float32Array, Float32Array]:
    shares, widths = _shares(native, grid)
    out_flux = np.zeros((len(flux), grid.n), dtype=np.float32)
    out_ivar = np.zeros((len(flux), grid.n), dtype=np.float32)
    for start in range(0, len(flux), ROWS):
        rows = slice(start, start + ROWS)
        weight = np.ascontiguousarray(ivar[rows].T)
        information = shares @ weight
        weighted = shares @ (weight * flux[rows].T)
        covered = shares @ (widths[:, None] * (weight > 0))
        keep = (covered > 0.5 * np.diff(grid.edges).astype(np.float32)[:, None]) & (information > 0)
        out_flux[rows] = np.divide(weighted, information, out=np.zeros_like(weighted), where=keep).T
        out_ivar[rows] = np.where(keep, information, 0).T
    return out_flux, out_ivar


@functools.lru_cache(maxsize=8)
def _shares(native: Grid, grid: LogGrid) -> tuple[sparse.csr_array, Float32Array]:
    """(grid.n, native.n) the part of each native pixel that falls into each of the grid, and the native widths."""
    low, high = _bounds(native.wave)
    edges = grid.edges
    first = np.searchsorted(edges, low, side="right") - 1
    last = np.searchsorted(edges, high, side="left") - 1
    rows, columns, parts = [], [], []
    for k in range(int((last - first).max()) + 1):
        row = first + k
        here = (row <= last) & (row >= 0) & (row < grid.n)
        overlap = np.minimum(high[here], edges[row[here] + 1]) - np.maximum(low[here], edges[row[here]])
        rows.append(row[here])
        columns.append(np.flatnonzero(here))
        parts.append(overlap / (high - low)[here])
    triple = (np.concatenate(parts), (np.concatenate(rows), np.concatenate(columns)))
    matrix = sparse.coo_array(triple, shape=(grid.n, native.n)).tocsr().astype(np.float32)
    return matrix, (high - low).astype(np.float32)


def _bounds(wave: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A pixel reaches half-way to its nearer neighbour (engine.grid)."""
    gaps = np.diff(wave)
    half = 0.5 * np.minimum(np.r_[gaps[:1], gaps], np.r_[gaps, gaps[-1:]])
    return wave - half, wave + half
