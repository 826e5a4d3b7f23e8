/**
 * The growth curves as pictures: Vega-Lite describes, Vega draws SVG without a browser. White ground, so that they can be
 * read on a dark page too, and a palette that people with red-green blindness can tell apart, with shapes besides.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse, View } from "vega"
import { compile, type TopLevelSpec } from "vega-lite"
import type { Axis, Point } from "./points.ts"

export interface Series {
  readonly title: string
  readonly value: (point: Point) => number | undefined
}

export interface Plot {
  /** Also the file's name. */
  readonly name: string
  readonly title: string
  readonly axis: Axis
  /** The vertical axis with its unit. */
  readonly unit: string
  readonly scale: "linear" | "log"
  readonly series: ReadonlyArray<Series>
}

const horizontal: Readonly<Record<Axis, string>> = {
  conversations: "conversations in the store",
  pending: "messages that wait"
}

// Okabe and Ito.
const colours = ["#0072b2", "#d55e00", "#009e73"]

const powers = (sizes: ReadonlyArray<number>): ReadonlyArray<number> =>
  [0, 100, 1000, 10_000, 100_000, 1_000_000].filter((size) => size <= Math.max(...sizes) && size >= Math.min(...sizes))

// A third and a whole of each decade: marks of equal distance on a log scale.
const thirds = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]

/** The marks below and above all values. */
const around = (values: ReadonlyArray<number>): [number, number] => {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  return [thirds.findLast((mark) => mark <= least) ?? least, thirds.find((mark) => mark >= most) ?? most]
}

const label = `datum.value >= 1000000 ? format(datum.value / 1000000, ',') + 'M' : datum.value >= 1000 ? format(datum.value / 1000, ',') + 'k' : format(datum.value, ',~')`

const specification = (plot: Plot, points: ReadonlyArray<Point>): TopLevelSpec => {
  const values = points.flatMap((point) =>
    plot.series.flatMap(({ title, value }) => {
      const y = value(point)
      return y === undefined ? [] : [{ size: point.size, series: title, y }]
    })
  )
  const titles = plot.series.map(({ title }) => title)
  const sizes = values.map(({ size }) => size)
  const legend =
    titles.length === 1
      ? null
      : { title: null, orient: "bottom" as const, direction: "horizontal" as const, labelLimit: 400 }
  // Nothing pending has its place too: to the left of a hundred.
  const scale = { type: "symlog" as const, constant: 30, domain: [Math.min(...sizes), Math.max(...sizes)], nice: false }
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: plot.title, anchor: "start", fontSize: 15, offset: 12 },
    width: 560,
    height: 240,
    padding: 12,
    background: "white",
    config: {
      font: "Helvetica, Arial, sans-serif",
      axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", gridColor: "#e5e5e5", titlePadding: 8 },
      legend: { labelFontSize: 12, titleFontSize: 12, symbolSize: 70, labelLimit: 400 },
      view: { stroke: null }
    },
    data: { values },
    mark: { type: "line", point: { filled: true, size: 55 }, strokeWidth: 2 },
    encoding: {
      x: {
        field: "size",
        type: "quantitative",
        scale,
        axis: { title: horizontal[plot.axis], values: [...powers(sizes)], labelExpr: label, labelFlush: false }
      },
      y: {
        field: "y",
        type: "quantitative",
        scale:
          plot.scale === "log"
            ? { type: "log", nice: false, domain: around(values.map(({ y }) => y)) }
            : { zero: true },
        axis: {
          title: plot.unit,
          labelExpr: label,
          ...(plot.scale === "log" ? { values: [...thirds] } : { tickCount: 6 })
        }
      },
      color: {
        field: "series",
        type: "nominal",
        scale: { domain: titles, range: colours },
        legend
      },
      shape: {
        field: "series",
        type: "nominal",
        scale: { domain: titles, range: ["circle", "square", "triangle-up"] },
        legend
      }
    }
  }
}

/** Draws a plot into a folder as `<name>.svg`. */
export const draw = async (plot: Plot, points: ReadonlyArray<Point>, folder: string): Promise<void> => {
  const view = new View(parse(compile(specification(plot, points)).spec), { renderer: "none" })
  const svg = await view.toSVG()
  view.finalize()
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${plot.name}.svg`), `${svg}\n`)
}
