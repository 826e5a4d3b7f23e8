/**
 * The figures as Prometheus reads them. What the journal counts is rendered from
 * its rows, so it survives a restart and needs no counter beside the truth; what
 * only this process knows comes from the writer and from Effect's metrics.
 */
import type { LiveSession, Readiness } from "@sluice/runtime/Gateway"
import type { Figures } from "@sluice/runtime/Journal"
import { endings } from "@sluice/runtime/Message"
import type { Clients } from "@sluice/channels/Http"
import type * as Context from "effect/Context"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"

/** Everything that a scrape shows. Times in milliseconds. */
export interface Snapshot {
  readonly figures: Figures
  readonly readiness: Readiness
  readonly live: ReadonlyArray<LiveSession>
  readonly clients: Clients
  /** Wall clock, as `figures.oldestOpen` is. */
  readonly now: number
  readonly uptime: number
  readonly residentBytes: number
  readonly version: string
  readonly epoch: number
  /** Families of other parts, ready to be printed. */
  readonly more?: string
}

/** Labels and a value. */
export type Sample = readonly [labels: { readonly [name: string]: string }, value: number]

/** Counts of durations in milliseconds by their upper bounds, the last count without one. */
export interface Histogram {
  readonly bounds: ReadonlyArray<number>
  readonly counts: ReadonlyArray<number>
  readonly sum: number
}

const label = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

const sample = (name: string, labels: Sample[0], value: number): string => {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${label(text)}"`)
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${Number.isFinite(value) ? value : "NaN"}`
}

const headed = (name: string, type: string, help: string, lines: ReadonlyArray<string>): string =>
  [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n")

/** One family of samples. */
export const family = (name: string, type: "gauge" | "counter", help: string, samples: ReadonlyArray<Sample>): string =>
  headed(
    name,
    type,
    help,
    samples.map(([labels, value]) => sample(name, labels, value))
  )

/** Durations in seconds, what Prometheus counts in. */
export const histogram = (
  name: string,
  help: string,
  all: ReadonlyArray<readonly [labels: Sample[0], Histogram]>
): string =>
  headed(
    name,
    "histogram",
    help,
    all.flatMap(([labels, { bounds, counts, sum }]) => {
      let below = 0
      const buckets = counts.map((count, index) => {
        below += count
        const bound = bounds[index]
        return sample(`${name}_bucket`, { ...labels, le: bound === undefined ? "+Inf" : String(bound / 1000) }, below)
      })
      return [...buckets, sample(`${name}_sum`, labels, sum / 1000), sample(`${name}_count`, labels, below)]
    })
  )

const single = (value: number): ReadonlyArray<Sample> => [[{}, value]]

/** What can be counted at all. Each is there from the first scrape on: an alert on a series that does not exist never fires. */
const known = {
  ends: endings,
  openTurns: ["running", "waiting", "interrupted"],
  turns: ["done", "cancelled", "superseded", "dropped", "suspended"],
  replies: ["reserved", "placing", "placed", "pending", "sending", "dead"],
  boots: ["first", "clean", "unclean"],
  states: ["idle", "receiving", "processing", "tool", "waiting", "responding", "draining", "suspended"]
} as const

const by = (
  name: string,
  all: ReadonlyArray<string>,
  counts: { readonly [key: string]: number | undefined }
): ReadonlyArray<Sample> =>
  [...new Set([...all, ...Object.keys(counts)])].map((key) => [{ [name]: key }, counts[key] ?? 0])

/** What the writer of the store did since the start. */
const ofWriter = (writer: Figures["writer"]): string =>
  [
    family("sluice_writer_rounds_total", "counter", "Transactions since the start.", single(writer.rounds)),
    family("sluice_writer_entries_total", "counter", "Writes in them.", single(writer.entries)),
    family("sluice_writer_retries_total", "counter", "Rounds that were tried again.", single(writer.retries)),
    family("sluice_writer_waiting", "gauge", "Writes that wait for the next round.", single(writer.waiting)),
    histogram("sluice_commit_seconds", "How long commits took since the start.", [[{}, writer.commitMillis]])
  ].join("")

/** How clients are connected. */
const ofClients = (clients: Snapshot["clients"]): string =>
  [
    family("sluice_websockets_open", "gauge", "Open WebSockets.", single(clients.webSockets)),
    family("sluice_event_streams_open", "gauge", "Open streams of server-sent events.", single(clients.streams)),
    family(
      "sluice_readers",
      "gauge",
      "Conversations that clients wait for: by long polls, waits, streams and WebSockets.",
      single(clients.readers)
    )
  ].join("")

/** The text of a scrape. `context` is where Effect's own metrics are registered. */
export const text = (snapshot: Snapshot, context: Context.Context<never>): string => {
  const { clients, figures, live, now, readiness } = snapshot
  const oldest = figures.oldestOpen === undefined ? 0 : Math.max(0, now - figures.oldestOpen) / 1000
  const depths = live.map((session) => session.waiting)
  const states = live.reduce<Record<string, number>>(
    (counts, { state }) => ({ ...counts, [state.name]: (counts[state.name] ?? 0) + 1 }),
    {}
  )
  return [
    family("sluice_build_info", "gauge", "Always 1; the version is its label.", [[{ version: snapshot.version }, 1]]),
    family("sluice_epoch", "gauge", "Number of this boot of the store.", single(snapshot.epoch)),
    family("sluice_uptime_seconds", "gauge", "Time since the start.", single(snapshot.uptime / 1000)),
    family(
      "sluice_channel_up",
      "gauge",
      "1 when the channel receives and sends; 0 when one of them fails, or it was stopped by hand.",
      readiness.channels.map(({ name, state }) => [{ channel: name }, state === "up" ? 1 : 0])
    ),
    ofClients(clients),
    family("sluice_ready", "gauge", "1 when everything runs that should.", single(readiness.ready ? 1 : 0)),
    family(
      "sluice_oldest_unanswered_seconds",
      "gauge",
      "Age of the oldest message without an end; 0 when there is none.",
      single(oldest)
    ),
    family("sluice_messages_waiting", "gauge", "Messages that no turn has claimed yet.", single(figures.waiting)),
    family(
      "sluice_queue_depth_max",
      "gauge",
      "Messages that wait in the session with most of them.",
      single(Math.max(0, ...depths))
    ),
    family("sluice_messages_accepted_total", "counter", "Accepted messages.", single(figures.accepted)),
    family(
      "sluice_messages_ended_total",
      "counter",
      "Messages that have their end, by end; the others are open.",
      by("end", known.ends, figures.ends)
    ),
    family("sluice_sessions_live", "gauge", "Sessions in memory by what they do.", by("state", known.states, states)),
    family(
      "sluice_turns_open",
      "gauge",
      "Turns without an end, by state.",
      by("state", known.openTurns, figures.openTurns)
    ),
    family("sluice_turns_total", "counter", "Turns that ended, by outcome.", by("outcome", known.turns, figures.turns)),
    family(
      "sluice_replies",
      "gauge",
      "Stored replies that are not delivered, by state.",
      by("state", known.replies, figures.replies)
    ),
    family(
      "sluice_boots_total",
      "counter",
      "Boots of this store by how the one before had ended.",
      by("cause", known.boots, figures.boots)
    ),
    family("sluice_wal_bytes", "gauge", "Size of the write-ahead log.", single(figures.walBytes)),
    family("process_resident_memory_bytes", "gauge", "Resident memory.", single(snapshot.residentBytes)),
    ofWriter(figures.writer),
    snapshot.more ?? "",
    PrometheusMetrics.formatUnsafe(context)
  ].join("")
}
