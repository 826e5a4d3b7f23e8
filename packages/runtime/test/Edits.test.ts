/**
 * Newer versions of messages, and deletions: an edit of what waits takes its place, an
 * edit of what runs follows, none ever runs a command, and what was deleted while it
 * waited is not answered. The ledger balances, also over a crash
 * between the two versions.
 *
 * Scenarios: Q25, D21
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestGateway } from "../src/testing/index.ts"
import { boot, rest, world } from "./guarantees/boots.ts"

const kim = "kim"

const said = (id: string, text: string, replaces?: string) => ({
  conversation: kim,
  sender: "k",
  id,
  text,
  ...(replaces === undefined ? {} : { replaces })
})

const debounced = TestClock.adjust("300 millis")

const withAgent = <A, E>(use: (gateway: Gateway["Service"], agent: TestAgent.TestAgent) => Effect.Effect<A, E>) => {
  const agent = TestAgent.make()
  return Effect.flatMap(Gateway, (gateway) => use(gateway, agent)).pipe(
    Effect.provide(TestGateway.make({ agents: { main: agent.agent } }))
  )
}

const deleted = (id: string) => ({ conversation: kim, sender: "k", id: `${id}/deleted`, text: "", withdraws: id })

describe("a deletion", () => {
  it.effect("Q25: cancels what waits of the message and its edits, once, and begins no turn", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "first"))
        yield* debounced
        const first = yield* agent.run(1)
        yield* gateway.accept(said("2", "second"))
        yield* gateway.accept(said("2/e1", "sec0nd", "2"))
        yield* gateway.accept(said("3", "third"))
        yield* gateway.accept(deleted("2"))
        assert.isTrue((yield* gateway.accept(deleted("2"))).duplicate)
        yield* debounced
        yield* first.finish("one")
        const second = yield* agent.run(2)
        assert.strictEqual(second.turn.text, "third")
        yield* second.finish("two")
        yield* gateway.settled(kim)
        const { balanced, ends } = yield* gateway.audit
        assert.deepInclude(ends, { replied: 2, superseded: 1, cancelled: 1, command: 1 })
        assert.isTrue(balanced)
      })
    )
  )

  it.effect("Q25: of what is being debounced leaves nothing to be answered, and of what runs changes nothing", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "never mind"))
        yield* gateway.accept(deleted("1"))
        yield* debounced
        yield* gateway.settled(kim)
        assert.strictEqual(agent.runs.length, 0)
        yield* gateway.accept(said("2", "hello"))
        yield* debounced
        const run = yield* agent.run(1)
        yield* gateway.accept(deleted("2"))
        yield* run.finish("hi")
        yield* gateway.settled(kim)
        const { balanced, ends } = yield* gateway.audit
        assert.deepInclude(ends, { replied: 1, cancelled: 1, command: 2 })
        assert.isTrue(balanced)
      })
    )
  )

  it.effect("Q25: of somebody else's message, or of none, cancels nothing", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "first"))
        yield* debounced
        const first = yield* agent.run(1)
        yield* gateway.accept(said("2", "second"))
        yield* gateway.accept({ ...deleted("2"), sender: "somebody else" })
        yield* gateway.accept(deleted("7"))
        yield* debounced
        yield* first.finish("one")
        const second = yield* agent.run(2)
        assert.strictEqual(second.turn.text, "second")
        yield* second.finish("two")
        yield* gateway.settled(kim)
        assert.isTrue((yield* gateway.audit).balanced)
      })
    )
  )
})

describe("what is known of a message", () => {
  it.effect(
    "Q25: are its versions and nobody else's, newest first, whatever became of them, also after a restart",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const current = yield* boot(place, { agent: TestAgent.make({ answer: ({ text }) => text }) })
        const accept = (id: string, replaces?: string) => current.handle().accept(said(id, `text of ${id}`, replaces))
        yield* accept("2")
        yield* accept("2/e1", "2")
        yield* accept("20")
        yield* accept("2x/e1")
        yield* accept("2/e2", "2")
        yield* current.handle().accept(deleted("2"))
        const known = ["2/deleted", "2/e2", "2/e1", "2"]
        const peer = { conversation: kim }
        assert.deepStrictEqual(yield* current.handle().versions(peer, "2"), known)
        assert.deepStrictEqual(yield* current.handle().versions(peer, "3"), [])
        assert.deepStrictEqual(yield* current.handle().versions({ conversation: "lee" }, "2"), [])
        yield* rest(current, "chat/kim")
        const next = yield* boot(place, {})
        assert.deepStrictEqual(yield* next.handle().versions(peer, "2"), known)
      })
  )
})

describe("a newer version", () => {
  it.effect("Q25: of a message that waits replaces it, and a newer one that", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "first"))
        yield* debounced
        const first = yield* agent.run(1)
        yield* gateway.accept(said("2", "secnod"))
        yield* gateway.accept(said("3", "third"))
        yield* gateway.accept(said("2/e1", "seconnd", "2"))
        yield* gateway.accept(said("2/e2", "second", "2"))
        assert.isTrue((yield* gateway.accept(said("2/e2", "second", "2"))).duplicate)
        yield* debounced
        yield* first.finish("one")
        const second = yield* agent.run(2)
        assert.strictEqual(second.turn.text, "third\nsecond")
        yield* second.finish("two")
        yield* gateway.settled(kim)
        const { balanced, ends } = yield* gateway.audit
        assert.deepInclude(ends, { replied: 3, superseded: 2 })
        assert.isTrue(balanced)
      })
    )
  )

  it.effect("Q25: replaces what is still being debounced: one turn with the new words alone", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "helo"))
        yield* gateway.accept(said("1/e1", "hello", "1"))
        yield* debounced
        const run = yield* agent.run(1)
        assert.strictEqual(run.turn.text, "hello")
        yield* run.finish("hi")
        yield* gateway.settled(kim)
        assert.strictEqual(agent.runs.length, 1)
      })
    )
  )

  it.effect("Q25: of a message that runs follows it", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "helo"))
        yield* debounced
        const run = yield* agent.run(1)
        yield* gateway.accept(said("1/e1", "hello", "1"))
        yield* debounced
        yield* run.finish("helo to you")
        const next = yield* agent.run(2)
        assert.strictEqual(next.turn.text, "hello")
        yield* next.finish("hello to you")
        yield* gateway.settled(kim)
        assert.deepInclude((yield* gateway.audit).ends, { replied: 2, superseded: 0 })
      })
    )
  )

  it.effect("Q25: never runs a command, nor does somebody else's replace a message", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        yield* gateway.accept(said("1", "work"))
        yield* debounced
        const run = yield* agent.run(1)
        yield* gateway.accept(said("2", "and this"))
        yield* gateway.accept(said("1/e1", "/stop", "1"))
        yield* gateway.accept({ ...said("2/e1", "something else", "2"), sender: "somebody else" })
        yield* debounced
        yield* run.finish("worked")
        const next = yield* agent.run(2)
        assert.strictEqual(next.turn.text, "and this\n/stop\nsomething else")
        yield* next.finish()
        yield* gateway.settled(kim)
      })
    )
  )

  it.effect("Q25: ids that only begin alike are no versions of each other", () =>
    withAgent((gateway, agent) =>
      Effect.gen(function* () {
        for (const id of ["1", "10", "1-e", "1/e0"]) yield* gateway.accept(said(id, `text of ${id}`))
        yield* gateway.accept(said("1/e1", "the newest", "1"))
        yield* debounced
        const run = yield* agent.run(1)
        assert.strictEqual(run.turn.text, "text of 10\ntext of 1-e\nthe newest")
        yield* run.finish()
        yield* gateway.settled(kim)
      })
    )
  )
})
