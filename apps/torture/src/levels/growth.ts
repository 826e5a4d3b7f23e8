/**
 * Whether a figure grows: a line through what was measured at the same age of one
 * gateway after the other. It grows when the line rises by more than chance explains,
 * and by enough to matter before long; a figure that settles after its first boots does
 * not. Too few points say nothing, and that is said.
 */

/** A line through points: `y = intercept + slope * x`. */
export interface Line {
  readonly slope: number
  readonly intercept: number
  /** The slope over its standard error: how sure it is that it is not flat. */
  readonly certainty: number
}

/** The line of least squares through values at 0, 1, 2, ...; undefined below three of them. */
export const lineThrough = (values: ReadonlyArray<number>): Line | undefined => {
  const count = values.length
  if (count < 3) return undefined
  const middle = (count - 1) / 2
  const mean = values.reduce((sum, one) => sum + one, 0) / count
  const spread = values.reduce((sum, _, x) => sum + (x - middle) ** 2, 0)
  const slope = values.reduce((sum, y, x) => sum + (x - middle) * (y - mean), 0) / spread
  const intercept = mean - slope * middle
  const residual = values.reduce((sum, y, x) => sum + (y - intercept - slope * x) ** 2, 0)
  const error = Math.sqrt(residual / (count - 2) / spread)
  return { slope, intercept, certainty: error === 0 ? (slope === 0 ? 0 : Math.sign(slope) * Infinity) : slope / error }
}

/** What is looked at. */
export interface Figure {
  readonly name: string
  readonly unit: string
  /** Growth over the whole run that does not matter. */
  readonly slack: number
}

/** What became of a figure. */
export interface Judgement {
  readonly verdict: "grows" | "does not grow" | "too few"
  /** In words, with the numbers. */
  readonly text: string
}

/** So many points say something. */
const enough = 5
/** Three standard errors: about one in a thousand by chance. */
const sure = 3
/** Growth over the run by this part of the mean matters where it is also more than the slack. */
const part = 0.1

const round = (value: number): string => (Math.abs(value) < 10 ? value.toFixed(2) : String(Math.round(value)))

/** Judges one figure by its values, one for each gateway in their order. The first one is left out: it fills what is empty. */
export const judge = ({ name, slack, unit }: Figure, [, ...values]: ReadonlyArray<number>): Judgement => {
  const line = lineThrough(values)
  const unitText = unit === "" ? "" : ` ${unit}`
  if (line === undefined || values.length < enough) {
    return { verdict: "too few", text: `${name}: ${values.length} boots say nothing about growth, ${enough} do` }
  }
  const rise = line.slope * (values.length - 1)
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length
  const grows = rise > slack && rise > mean * part && line.certainty > sure
  const range = `${round(Math.min(...values))} to ${round(Math.max(...values))}${unitText}`
  const slope = `${line.slope < 0 ? "" : "+"}${round(line.slope)}${unitText} a boot`
  return {
    verdict: grows ? "grows" : "does not grow",
    text: `${name}: ${range} over ${values.length} boots of the same age, ${slope}: ${grows ? "grows" : "does not grow"}`
  }
}
