// C5, the turn's half: a turn's end and its replies are one commit. Once they are stored the agent is not asked again,
// whatever happens to their delivery; before that, nobody has seen them.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestAgent, TestChannel } from "../../src/testing/index.ts"
import { boot, given, type Label, lived, rest, world } from "./boots.ts"

const answer = "the answer"
const maybeTwice = /^\(You may have seen this before/

/** One boot dies there; what the next one does and what a person sees then. */
const dying = (kind: TestChannel.TestClass, label: Label, nth = 1) =>
  Effect.gen(function* () {
    const place = yield* world({ chat: kind })
    const agent = TestAgent.make({ answer: () => answer })
    const { died } = yield* lived(place, { agent, grave: { label, nth } }, (current) =>
      Effect.andThen(current.say("kim", "question"), rest(current, "chat/kim"))
    )
    assert.isTrue(died, `${label} was reached`)
    const later = TestAgent.make({ answer: () => answer })
    const second = yield* boot(place, { agent: later })
    yield* rest(second, "chat/kim")
    const { accepted, balanced, ends, open } = yield* second.gateway.audit
    assert.deepStrictEqual([accepted, open, balanced], [1, 0, true])
    // A reader of a pull channel comes back with the number that he has: none.
    const { replies } = yield* second.handle().page({ conversation: "kim" }, { after: 0, limit: 10 })
    assert.deepStrictEqual(
      replies.map(({ number }) => number),
      [1]
    )
    const pulled = replies.map(({ text }) => text)
    return {
      seen: kind === "pull" ? pulled : (place.far.chat?.seen("kim") ?? []),
      runs: given(agent, later).length,
      ends
    }
  })

describe("C5: settle and replies", () => {
  for (const kind of TestChannel.testClasses) {
    it.effect(
      `D6: ${kind}: dies before the settlement is written: nobody has seen anything, the turn runs again, once`,
      () =>
        Effect.gen(function* () {
          const { ends, runs, seen } = yield* dying(kind, "inside:settle")
          assert.strictEqual(runs, 2)
          assert.strictEqual(ends.replied, 1)
          assert.deepStrictEqual(
            seen.filter((text) => text !== "…"),
            [answer]
          )
        })
    )

    it.effect(`D6: ${kind}: settled and not sent: the reply is there after the boot, without a second run`, () =>
      Effect.gen(function* () {
        const { ends, runs, seen } = yield* dying(kind, "after:settle")
        assert.strictEqual(runs, 1)
        assert.strictEqual(ends.replied, 1)
        assert.deepStrictEqual(
          seen.filter((text) => text !== "…"),
          [answer]
        )
      })
    )
  }
})

describe("C5: the send window", () => {
  for (const [label, arrived] of [
    ["send:before", false],
    ["send:after", true]
  ] as const) {
    it.effect(`D7: keyed: dies with the send in flight (${label}): exactly one`, () =>
      Effect.gen(function* () {
        const { ends, runs, seen } = yield* dying("keyed", label)
        assert.deepStrictEqual([seen, runs, ends.replied], [[answer], 1, 1])
      })
    )

    // The first request of an edit channel places the message, the second one edits the answer in.
    for (const nth of [1, 2]) {
      it.effect(
        `D7: edit: dies with request ${nth} in flight (${label}): the answer exactly once, at most one orphan`,
        () =>
          Effect.gen(function* () {
            const { ends, runs, seen } = yield* dying("edit", label, nth)
            assert.deepStrictEqual(
              seen.filter((text) => text !== "…"),
              [answer]
            )
            assert.isAtMost(seen.length, 2)
            assert.isAtMost(runs, 2)
            assert.strictEqual(ends.replied, 1)
          })
      )
    }

    it.effect(
      `D7: ambiguous, resend once: dies with the send in flight (${label}): one marked copy more, never none`,
      () =>
        Effect.gen(function* () {
          const { ends, runs, seen } = yield* dying("ambiguous-resend", label)
          assert.strictEqual(seen.length, arrived ? 2 : 1)
          assert.match(seen.at(-1) ?? "", maybeTwice)
          assert.include(seen.at(-1), answer)
          if (arrived) assert.strictEqual(seen[0], answer)
          assert.deepStrictEqual([runs, ends.replied], [1, 1])
        })
    )

    it.effect(
      `D7: ambiguous, hold: dies with the send in flight (${label}): nothing more, and it is shown as unknown`,
      () =>
        Effect.gen(function* () {
          const { ends, runs, seen } = yield* dying("ambiguous-hold", label)
          assert.deepStrictEqual(seen, arrived ? [answer] : [])
          assert.deepStrictEqual([runs, ends.unknown, ends.replied], [1, 1, 0])
        })
    )
  }

  it.effect(
    "D7: what can't be delivered ends as undeliverable with its payload, and can be replayed without a run",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.echo()
        const current = yield* boot(place, { agent })
        place.far.chat?.fates("refuse")
        yield* current.say("kim", "hello")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { undeliverable: 1 })
        const [letter] = yield* current.gateway.deadLetters.list
        assert.deepStrictEqual([letter?.row.reply.text, letter?.conversationKey], ["hello", "chat/kim"])
        assert.isTrue(yield* current.gateway.deadLetters.replay(letter?.row.id ?? 0))
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hello"])
        assert.deepStrictEqual(given(agent), ["hello"])
      })
  )
})
