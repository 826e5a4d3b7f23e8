// The far sides have to be right before anything that is proved with them is: what they show, what they remember, and
// what they write down when a request or its answer goes missing.
import { assert, describe, it } from "@effect/vitest"
import * as Notices from "@sluice/runtime/Notices"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Deliver } from "../src/history/Operation.ts"
import { read } from "../src/history/reader.ts"
import { History } from "../src/history/writer.mjs"
import type { FarChannel, Showing, Update } from "../src/world/channels.ts"
import { type Fate, open } from "../src/world/far.ts"
import { answerOf, toldBy } from "../src/world/sayings.ts"
import { wire } from "../src/world/wire.ts"

const text = "[[7-1 a.1,a.2]]"

/** Far sides whose fates are given one after the other; `delivered` reads what they wrote. */
const sides = Effect.fnUntraced(function* (...fates: ReadonlyArray<Fate>) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-far-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const history = History.open(join(folder, "history.jsonl"))
  yield* Effect.addFinalizer(() => Effect.sync(() => history.close()))
  const left = [...fates]
  const far = yield* open(history, () => left.shift() ?? { is: "answer" })
  const gateway = wire(far.url)
  yield* Effect.addFinalizer(() => Effect.sync(() => gateway.close()))
  const show = (channel: FarChannel, showing: Partial<Showing>) =>
    gateway.ask(`/deliver/${channel}`, { body: { act: "send", peer: "eve", text, ...showing } })
  const updates = (offset: number) =>
    Effect.map(
      gateway.ask("/updates/keyed", { body: { offset } }),
      ({ body }) => body["updates"] as ReadonlyArray<Update>
    )
  const delivered = () =>
    read(history.file).lines.flatMap(({ operation }): ReadonlyArray<Deliver> =>
      operation.op === "deliver" ? [operation] : []
    )
  return { far, show, updates, delivered }
})

const phases = (lines: ReadonlyArray<Deliver>) => lines.map(({ phase, remoteId }) => `${phase} ${remoteId}`)

describe("the far sides", () => {
  it.live("a keyed side shows a key once, however often it is asked", () =>
    Effect.gen(function* () {
      const { delivered, show } = yield* sides()
      const first = yield* show("keyed", { key: "k1" })
      const again = yield* show("keyed", { key: "k1" })
      const other = yield* show("keyed", { key: "k2" })
      assert.deepStrictEqual(
        [first, again, other].map(({ body }) => body["remoteId"]),
        ["1", "1", "2"]
      )
      assert.deepStrictEqual(phases(delivered()), ["invoke 1", "ok 1", "invoke 1", "ok 1", "invoke 2", "ok 2"])
    }).pipe(Effect.scoped)
  )

  it.live("a side without keys shows everything that it is asked to", () =>
    Effect.gen(function* () {
      const { delivered, show } = yield* sides()
      yield* show("hold", {})
      yield* show("hold", {})
      assert.deepStrictEqual(phases(delivered()), ["invoke 1", "ok 1", "invoke 2", "ok 2"])
    }).pipe(Effect.scoped)
  )

  it.live("a request that is lost shows nothing, and one whose answer is lost is shown and said to be uncertain", () =>
    Effect.gen(function* () {
      const { delivered, show } = yield* sides({ is: "lost" }, { is: "unanswered" })
      const lost = yield* Effect.flip(show("resend", {}))
      const unanswered = yield* Effect.flip(show("resend", {}))
      assert.deepStrictEqual([lost.reached, unanswered.reached], [true, true])
      assert.deepStrictEqual(phases(delivered()), ["fail ", "invoke 1", "info 1"])
      assert.deepStrictEqual(delivered()[0]?.ids, ["a.1", "a.2"])
    }).pipe(Effect.scoped)
  )

  it.live("a request of a process that is gone is shown, and nobody was told so", () =>
    Effect.gen(function* () {
      const { delivered, show } = yield* sides()
      const { pid } = spawnSync("true")
      yield* Effect.flip(show("resend", { from: pid }))
      yield* show("resend", { from: process.pid })
      assert.deepStrictEqual(phases(delivered()), ["invoke 1", "info 1", "invoke 2", "ok 2"])
    }).pipe(Effect.scoped)
  )

  it.live(
    "a repeat by the network changes nothing where a key tells it apart, and does not happen where none does",
    () =>
      Effect.gen(function* () {
        const { delivered, show } = yield* sides({ is: "twice" }, { is: "twice" })
        yield* show("keyed", { key: "k1" })
        yield* show("resend", {})
        assert.deepStrictEqual(
          new Set(delivered().map(({ channel, remoteId }) => `${channel} ${remoteId}`)),
          new Set(["keyed 1", "resend 1"])
        )
      }).pipe(Effect.scoped)
  )

  it.live("what people write comes again until an offset behind it confirms it", () =>
    Effect.gen(function* () {
      const { far, updates } = yield* sides()
      const written = yield* Effect.forkChild(far.write("keyed", "eve", "e.1", "#e.1 hello"))
      const first = yield* updates(0)
      assert.deepStrictEqual(yield* updates(0), first)
      assert.strictEqual(far.unconfirmed(), 1)
      const next = yield* Effect.forkChild(updates(1))
      yield* Fiber.join(written)
      assert.strictEqual(far.unconfirmed(), 0)
      yield* Effect.forkChild(far.write("keyed", "eve", "e.2", "#e.2 hello"))
      assert.deepStrictEqual(
        (yield* Fiber.join(next)).map(({ id }) => id),
        ["e.2"]
      )
    }).pipe(Effect.scoped)
  )

  it("an answer names its run and its messages, a copy says that it is one, and a notice names whom it concerns", () => {
    assert.deepStrictEqual(answerOf(text), { run: "7-1", ids: ["a.1", "a.2"] })
    assert.strictEqual(answerOf("Got it."), undefined)
    assert.strictEqual(toldBy(text, {}).what, "answer")
    const copy = "(You may have seen this before: the connection dropped while I was sending it.)\n\n"
    assert.deepStrictEqual(toldBy(copy + text, {}), { what: "copy", run: "7-1", ids: ["a.1", "a.2"] })
    assert.deepStrictEqual(toldBy(`${copy}Stopped.`, { inReplyTo: ["a.3"] }), { what: "copy", ids: ["a.3"] })
    assert.deepStrictEqual(toldBy("Stopped.", { kind: "command", inReplyTo: ["a.3"] }), {
      what: "command",
      ids: ["a.3"]
    })
    assert.deepStrictEqual(toldBy("Got it.", { kind: "notice" }), { what: "notice", ids: [] })
  })

  it("a notice that sets something aside is known with its reason and its count, in the words that the gateway has for it", () => {
    const speaker = Notices.make()
    const values = { words: "#a.1 hello", count: 3, ref: "k3f9" }
    const said = (id: "setAside" | "setAsideCrashed" | "setAsideCut", count: number) =>
      toldBy(speaker.say(id, { ...values, count }).text, { kind: "notice", inReplyTo: ["a.1"] })
    const aside = (why: "crashed" | "cut" | "failed", times: number) =>
      ({ what: "notice", ids: ["a.1"], aside: { why, times } }) as const
    assert.deepStrictEqual(said("setAsideCrashed", 3), aside("crashed", 3))
    assert.deepStrictEqual(said("setAsideCut", 10), aside("cut", 10))
    assert.deepStrictEqual(said("setAside", 1), aside("failed", 1))
  })
})
