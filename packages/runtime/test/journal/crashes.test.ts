/**
 * D4 at the store: the process dies at every durable boundary of every kind of
 * write. What was acknowledged is on disk, what died before its commit is not
 * there at all, and the next boot's ledger balances.
 */
import type { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { boundaries, Boundary, type Label } from "../../src/internal/boundary.ts"
import type { JournalShape } from "../../src/Journal.ts"
import {
  type Boot,
  bootFile,
  claimed,
  done,
  kim,
  message,
  outside,
  places,
  pull,
  settle,
  storeFile
} from "./harness.ts"

/** A write, the boundary kind that it crosses, and how another connection sees that it is stored. */
interface Deed {
  readonly name: string
  readonly kind: string
  readonly run: (boot: Boot) => Effect.Effect<unknown, unknown>
  readonly stored: (look: DatabaseSync) => boolean
}

const count = (look: DatabaseSync, sql: string): number =>
  Number(look.prepare(`select count(*) as n from ${sql}`).get()?.n)

const does = (act: (journal: JournalShape) => Effect.Effect<unknown, unknown>) => (boot: Boot) => act(boot.journal)

const deed = (name: string, kind: string, run: Deed["run"], sql: string, rows = 1): Deed => ({
  name,
  kind,
  run,
  stored: (look) => count(look, sql) === rows
})

const cut = { _tag: "Interrupted", reason: "stop", asked: false } as const

// One after the other; each needs those before it.
const deeds: ReadonlyArray<Deed> = [
  deed(
    "a message",
    "admit",
    does((j) => j.admit(message("one", { id: "m1" }))),
    `sluice_inbound where id = 'm1'`
  ),
  deed("its claim", "claim", (boot) => claimed(boot, [1]), `sluice_turns where id = 1 and attempt = 1`),
  deed(
    "a tool",
    "tool",
    does((j) => j.tool(1, 1, "bank")),
    `sluice_turns where tool = 'bank'`
  ),
  deed(
    "a kept value",
    "keep",
    does((j) => j.keep(1, "kept/main", () => "conversation 7")),
    `sluice_values where value = 'conversation 7'`
  ),
  deed(
    "a question",
    "permission",
    does((j) => j.ask(1, "Sure?", ["yes"])),
    `sluice_permissions where question = 'Sure?'`
  ),
  deed(
    "a placeholder",
    "reserve",
    does((j) => j.reserve(1)),
    `sluice_replies where state = 'reserved'`
  ),
  deed(
    "a step",
    "step",
    does((j) => j.step({ _tag: "Placing", reply: 1 })),
    `sluice_replies where state = 'placing'`
  ),
  deed(
    "an interruption",
    "settle",
    does((j) => j.settle({ turn: 1, attempt: 1, settlement: cut, route: places })),
    `sluice_turns where cut_by = 'stop'`
  ),
  deed(
    "a resume",
    "resume",
    does((j) => j.resume(1)),
    `sluice_turns where id = 1 and attempt = 2`
  ),
  deed(
    "a message to be dropped",
    "admit",
    does((j) => j.admit(message("two", { id: "m2" }))),
    `sluice_inbound where id = 'm2'`
  ),
  deed(
    "a drop",
    "drop",
    does((j) => j.drop(1, [2], "summarize")),
    `sluice_inbound where ending = 'dropped'`
  ),
  deed(
    "an answer",
    "settle",
    does((j) => j.settle({ turn: 1, attempt: 2, settlement: done("hi", "there"), route: places })),
    `sluice_replies where kind = 'answer' and number is not null`,
    2
  ),
  deed(
    "a command",
    "admit",
    does((j) => j.admit(message("/new", { id: "c1", command: true }))),
    `sluice_inbound where id = 'c1'`
  ),
  deed(
    "its effect",
    "command",
    does((j) => j.command(3, { _tag: "New", name: undefined, persona: undefined }, pull, () => ["fresh"])),
    `sluice_replies where text = 'fresh'`
  ),
  deed(
    "a forgetting",
    "command",
    does((j) => j.forget({ _tag: "Conversation", address: kim, placeholder: undefined })),
    `sluice_sessions where forgotten is not null`,
    2
  ),
  deed(
    "a post",
    "post",
    does((j) => j.post({ address: kim, id: "p1", text: "posted", parts: ["posted"], route: pull })),
    `sluice_posts where external = 'p1'`
  ),
  deed(
    "a notice",
    "notice",
    does((j) =>
      j.notice({
        conversation: 1,
        notice: "slow",
        parts: ["Still on it"],
        route: pull,
        expiresAt: undefined,
        cap: undefined
      })
    ),
    `sluice_replies where notice = 'slow'`
  ),
  deed(
    "a wait",
    "throttle",
    does((j) => j.throttle({ channel: "http" }, 1000)),
    `sluice_throttles where channel = 'http'`
  ),
  deed(
    "a mark",
    "premark",
    does((j) => j.preMark("stop")),
    `sluice_boots where mark = 'stop'`
  ),
  deed(
    "a report",
    "report",
    does((j) => j.storeReport({ reason: "stop", exitCode: 0, millis: 1, clean: true, json: {} })),
    `sluice_boots where clean = 1`
  )
]

const labels = boundaries.filter((label) => /^(before|inside|after):/.test(label) && !label.endsWith(":open"))

/** A boot whose process dies when it comes to the label for the n-th time. */
const mortal = (file: string, at: Label, nth: number) => {
  let crossed = 0
  return Effect.provideService(bootFile(file), Boundary, (label) =>
    label === at && ++crossed === nth ? Effect.die(new Error(`died at ${label}`)) : Effect.void
  )
}

const dieAt = Effect.fnUntraced(function* (at: Label, nth: number) {
  const file = yield* storeFile
  const boot = yield* mortal(file, at, nth)
  const look = yield* outside(file)
  const acknowledged: Array<Deed> = []
  let fatal: Deed | undefined
  for (const one of deeds) {
    const exit = yield* Effect.exit(one.run(boot))
    if (Exit.isFailure(exit)) {
      fatal = one
      break
    }
    acknowledged.push(one)
    assert.isTrue(one.stored(look), `${one.name} is on disk when its writer hears of it`)
  }
  yield* boot.end
  return { file, look, acknowledged, fatal }
})

describe("crashes", () => {
  for (const label of labels) {
    it.effect(`D4: dies at ${label}: nothing that was acknowledged is lost, nothing is half there`, () =>
      Effect.gen(function* () {
        const kind = label.slice(label.indexOf(":") + 1)
        const times = deeds.filter((one) => one.kind === kind).length
        assert.isAtLeast(times, 1, "some deed crosses every boundary")
        for (let nth = 1; nth <= times; nth++) {
          const { acknowledged, fatal, file, look } = yield* dieAt(label, nth)
          assert.strictEqual(fatal?.kind, kind)
          assert.strictEqual(fatal?.stored(look), label.startsWith("after:"), `${fatal?.name} at ${label}`)
          const next = yield* bootFile(file)
          const { accepted, balanced, posts } = yield* next.journal.reads.ledger
          assert.isTrue(balanced)
          assert.deepStrictEqual(
            [accepted, posts.accepted],
            [count(look, "sluice_inbound"), count(look, "sluice_posts")]
          )
          const admitted = acknowledged.filter((one) => one.kind === "admit").length
          assert.isAtLeast(accepted, admitted)
          // The sender asks again: one message, whether or not it was committed.
          const again = yield* next.journal.admit(message("one", { id: "m1" }))
          assert.strictEqual(again.seq, 1)
          yield* next.end
        }
      })
    )
  }

  for (const label of ["before:open", "inside:open", "after:open"] as const) {
    it.effect(`D4: a boot that dies at ${label} counts a crash once, not twice`, () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const first = yield* bootFile(file)
        yield* first.journal.admit(message("work"))
        yield* claimed(first, [1])
        yield* first.end
        for (let k = 0; k < 3; k++) assert.isTrue(Exit.isFailure(yield* Effect.exit(mortal(file, label, 1))))
        const next = yield* bootFile(file)
        assert.deepInclude(next.journal.opening.turns[0], { crashes: 1, state: "interrupted" })
        assert.strictEqual(next.journal.opening.epoch, label === "after:open" ? 5 : 2)
        const again = yield* next.journal.resume(1)
        if (again !== undefined) assert.isTrue(yield* settle(next, again, done("hi")))
        assert.isTrue((yield* next.journal.reads.ledger).balanced)
      })
    )
  }
})
