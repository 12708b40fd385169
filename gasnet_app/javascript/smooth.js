// Flux and sigma under a box of n pixels weighted by inverse variance: the same rule as smoothed in spectrum/columns.py.
// Arguments: measured (source, as in the file), shown (source that is drawn), flux (figure).
const width = Number(cb_obj.value)
const {wave, flux: value, low, high, masked} = measured.data
const n = wave.length, half = (width - 1) / 2
const total = new Float64Array(n + 1), sum = new Float64Array(n + 1)
for (let i = 0; i < n; i++) {
  const sigma = (high[i] - low[i]) / 2
  const ivar = Number.isFinite(value[i]) ? 1 / (sigma * sigma) : 0
  total[i + 1] = total[i] + ivar
  sum[i + 1] = sum[i] + (ivar ? ivar * value[i] : 0)
}
const smooth = new Float64Array(n).fill(NaN), bottom = new Float64Array(n), top = new Float64Array(n)
for (let i = 0; i < n; i++) {
  const a = Math.max(0, i - half), b = Math.min(n, i + half + 1)
  if (!Number.isFinite(value[i])) { bottom[i] = top[i] = (low[i] + high[i]) / 2; continue }
  const weight = total[b] - total[a]
  smooth[i] = (sum[b] - sum[a]) / weight
  bottom[i] = smooth[i] - 1 / Math.sqrt(weight)
  top[i] = smooth[i] + 1 / Math.sqrt(weight)
}
shown.data = {wave, masked, flux: smooth, low: bottom, high: top}
const axis = flux.left[0]
axis.axis_label = axis.axis_label.split(", box")[0] + (width > 1 ? `, box of ${width} px weighted by ivar` : "")
