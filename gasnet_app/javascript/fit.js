// Vertical limits from the unmasked pixels in view: one hot pixel must not flatten the spectrum.
// Arguments: source (flux), flux (figure).
const {wave, flux: value} = source.data
const seen = []
for (let i = 0; i < wave.length; i++) {
  if (wave[i] >= flux.x_range.start && wave[i] <= flux.x_range.end && Number.isFinite(value[i])) seen.push(value[i])
}
if (seen.length > 3) {
  seen.sort((a, b) => a - b)
  const at = (f) => seen[Math.round(f * (seen.length - 1))]
  const low = at(0.004), high = at(0.996), room = (high - low) || Math.abs(high) || 1
  flux.y_range.setv({start: low - 0.16 * room, end: high + 0.24 * room})
}
