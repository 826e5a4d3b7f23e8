// What Prometheus scrapes: every figure that the project promises, in the text format, with labels that can't break out.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Snapshot, text } from "../src/Metrics.ts"

const snapshot: Snapshot = {
  figures: {
    oldestOpen: 10_000,
    waiting: 3,
    accepted: 44,
    ends: {
      replied: 39,
      "no-reply": 0,
      command: 0,
      cancelled: 0,
      superseded: 0,
      dropped: 0,
      suspended: 1,
      undeliverable: 0,
      unknown: 2
    },
    openTurns: { running: 2, waiting: 1 },
    turns: { done: 41, suspended: 1 },
    replies: { sent: 40, dead: 1 },
    boots: { first: 1, clean: 2, unclean: 1 },
    walBytes: 4096,
    writer: {
      rounds: 6,
      entries: 9,
      waiting: 1,
      retries: 2,
      commitMillis: { bounds: [1, 5], counts: [3, 2, 1], sum: 30 }
    }
  },
  readiness: { ready: false, problems: ["x"], channels: [] },
  clients: { webSockets: 3, streams: 2, readers: 7 },
  live: [
    { id: 1, key: "http/kim", state: { name: "processing" }, waiting: 2, turn: undefined, waitsFor: "its agent" },
    { id: 2, key: "http/ann", state: { name: "processing" }, waiting: 5, turn: undefined, waitsFor: "its agent" }
  ],
  now: 12_500,
  uptime: 61_000,
  residentBytes: 1_000_000,
  version: '0.1.0"\n\\',
  epoch: 4
}

const sampleOf = (page: string, name: string) => page.split("\n").filter((line) => line.startsWith(name))

describe("the metrics", () => {
  it.effect("show age, depths, turns, replies, boots and the log's size, each with help and type", () =>
    Effect.gen(function* () {
      const page = text(snapshot, yield* Effect.context<never>())
      for (const line of [
        "sluice_oldest_unanswered_seconds 2.5",
        "sluice_messages_waiting 3",
        "sluice_queue_depth_max 5",
        'sluice_sessions_live{state="processing"} 2',
        'sluice_turns_open{state="running"} 2',
        'sluice_turns_total{outcome="done"} 41',
        'sluice_turns_total{outcome="suspended"} 1',
        'sluice_messages_ended_total{end="unknown"} 2',
        "sluice_messages_accepted_total 44",
        'sluice_replies{state="dead"} 1',
        'sluice_boots_total{cause="unclean"} 1',
        "sluice_wal_bytes 4096",
        "sluice_ready 0",
        "sluice_uptime_seconds 61",
        "sluice_epoch 4",
        "process_resident_memory_bytes 1000000"
      ]) {
        assert.include(page.split("\n"), line)
      }
      const names = page.match(/^(sluice|process)_[a-z_]+/gm) ?? []
      for (const name of new Set(names.map((one) => one.replace(/_(bucket|sum|count)$/, "")))) {
        assert.lengthOf(sampleOf(page, `# HELP ${name} `), 1, name)
        assert.lengthOf(sampleOf(page, `# TYPE ${name} `), 1, name)
      }
    })
  )

  it.effect("have every series from the first scrape on, so that an alert on one can fire", () =>
    Effect.gen(function* () {
      const { openTurns, turns, replies, boots } = { openTurns: {}, turns: {}, replies: {}, boots: {} }
      const figures = { ...snapshot.figures, openTurns, turns, replies, boots }
      const page = text({ ...snapshot, figures, live: [] }, yield* Effect.context<never>())
      for (const line of [
        'sluice_sessions_live{state="tool"} 0',
        'sluice_turns_open{state="interrupted"} 0',
        'sluice_turns_total{outcome="done"} 0',
        'sluice_turns_total{outcome="suspended"} 0',
        'sluice_replies{state="pending"} 0',
        'sluice_replies{state="dead"} 0',
        'sluice_boots_total{cause="unclean"} 0',
        'sluice_messages_ended_total{end="undeliverable"} 0'
      ]) {
        assert.include(page.split("\n"), line)
      }
    })
  )

  it.effect("say 0 for the oldest message when nothing is open, also when the clock went back", () =>
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const none = text({ ...snapshot, figures: { ...snapshot.figures, oldestOpen: undefined } }, context)
      assert.include(none, "\nsluice_oldest_unanswered_seconds 0\n")
      assert.include(text({ ...snapshot, now: 1 }, context), "\nsluice_oldest_unanswered_seconds 0\n")
    })
  )

  it.effect("W4: escape what stands in a label", () =>
    Effect.gen(function* () {
      const page = text(snapshot, yield* Effect.context<never>())
      assert.include(page, 'sluice_build_info{version="0.1.0\\"\\n\\\\"} 1')
    })
  )

  it.effect("show how long commits took as a histogram whose buckets add up", () =>
    Effect.gen(function* () {
      const page = text(snapshot, yield* Effect.context<never>())
      assert.deepStrictEqual(sampleOf(page, "sluice_commit_seconds"), [
        'sluice_commit_seconds_bucket{le="0.001"} 3',
        'sluice_commit_seconds_bucket{le="0.005"} 5',
        'sluice_commit_seconds_bucket{le="+Inf"} 6',
        "sluice_commit_seconds_sum 0.03",
        "sluice_commit_seconds_count 6"
      ])
    })
  )

  it.effect("carry what else this process has measured", () =>
    Effect.gen(function* () {
      const commits = Metric.histogram("sluice_test_commit_seconds", {
        boundaries: [0.001, 0.01],
        description: "Commits."
      })
      yield* Metric.update(commits, 0.002)
      const page = text(snapshot, yield* Effect.context<never>())
      assert.include(page, 'sluice_test_commit_seconds_bucket{le="0.01"} 1')
      assert.include(page, "sluice_test_commit_seconds_count 1")
      assert.isTrue(page.endsWith("\n"))
    })
  )
})
