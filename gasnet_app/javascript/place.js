// Put every line where z says, its label where there is room, and the rest-frame axis under the observed one.
// Runs in the browser alone. Arguments: lines (source), flux (figure), rest (range), slider, typed, marker (p(z) span).
const z = Math.expm1(slider.value)
const d = lines.data
const n = d.rest.length
const start = flux.x_range.start, end = flux.x_range.end
const width = flux.inner_width || 800
const per_pixel = (end - start) / width
const rows = {emission: [], absorption: []}
const taken = new Set()

// Strong lines choose their label's row first; a label that finds no room in three rows stays away.
for (let i = 0; i < n; i++) {
  d.wave[i] = d.rest[i] * (1 + z)
  d.label[i] = ""
}
for (let i = 0; i < n; i++) {
  const wave = d.wave[i]
  if (wave < start || wave > end) continue
  const half = 0.5 * (d.name[i].length * 6.4 + 6) * per_pixel
  const once = d.name[i] + Math.round(wave / (40 * per_pixel))
  if (taken.has(once)) continue
  const side = rows[d.kind[i]]
  for (let row = 0; row < 3; row++) {
    side[row] = side[row] || []
    const at = Math.min(Math.max(wave, start + half), end - half)
    if (side[row].every(([a, b]) => at + half < a || at - half > b)) {
      side[row].push([at - half, at + half])
      d.at[i] = at
      taken.add(once)
      d.label[i] = d.name[i]
      d.height[i] = d.kind[i] == "emission" ? 0.975 - 0.045 * row : 0.03 + 0.045 * row
      break
    }
  }
}
rest.setv({start: start / (1 + z), end: end / (1 + z)})
const shown = Math.round(z * 1e6) / 1e6
if (typed.value !== shown) {
  // Before it is drawn the box has no element to write to: set the model quietly, it will be drawn from that.
  const drawn = Bokeh.index.find_one_by_id(typed.id)?.input_el != null
  typed.setv({value: shown}, {sync: false, silent: !drawn})
}
marker.location = z
lines.change.emit()
