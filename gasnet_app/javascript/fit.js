// Vertical limits from the unmasked pixels in view: the same rule as robust_limits in spectrum/columns.py.
// Arguments: source (flux), flux (figure).
const {wave, flux: value, low, high} = source.data
const seen = [], sigma = []
for (let i = 0; i < wave.length; i++) {
  if (wave[i] >= flux.x_range.start && wave[i] <= flux.x_range.end && Number.isFinite(value[i])) {
    seen.push(value[i])
    sigma.push(high[i] - low[i])
  }
}
if (seen.length > 4) {
  const ascending = (a, b) => a - b
  const limit = 3 * [...sigma].sort(ascending)[sigma.length >> 1]
  const quiet = []
  for (let i = 1; i < seen.length - 1; i++) {
    if (sigma[i] <= limit) quiet.push([seen[i - 1], seen[i], seen[i + 1]].sort(ascending)[1])
  }
  quiet.sort(ascending)
  const bottom = quiet[Math.round(0.003 * (quiet.length - 1))], top = quiet[quiet.length - 1]
  const room = (top - bottom) || Math.abs(top) || 1
  flux.y_range.setv({start: bottom - 0.16 * room, end: top + 0.24 * room})
}
