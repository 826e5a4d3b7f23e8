// Whatever the far side does to requests and whenever the process restarts or dies: what a person sees is what the
// delivery class promises, in order, and every post has its end in the ledger. A failure prints the seed that repeats it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../../src/testing/channels.ts"
import { type Boot, boot, maybeTwice, storeFile } from "../outboxHarness.ts"

const peers = ["kim", "lee", "max"]

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("Post"), peer: Schema.Literals(peers) }),
  Schema.Struct({
    _tag: Schema.tag("Fates"),
    fates: Schema.Array(
      Schema.Literals(["answer", "drop", "lose-answer", "lose", "duplicate", "defect", "hang"])
    ).check(Schema.isMaxLength(4))
  }),
  Schema.Struct({ _tag: Schema.tag("Throttle"), scope: Schema.Literals(["conversation", "channel"]) }),
  Schema.Struct({ _tag: Schema.tag("Wait"), seconds: Schema.Literals([0, 1, 5, 61, 400]) }),
  Schema.Struct({ _tag: Schema.Literals(["Restart", "Crash", "Settle"]) })
])
type Step = typeof Step.Type

/** Plays the steps, then lets everything come to its end. */
const play = Effect.fnUntraced(function* (kind: TestChannel.TestClass, steps: ReadonlyArray<Step>) {
  // Age is another test's: here time passes as it must for waits and bounds to end.
  const far = TestChannel.make({ class: kind, replyMaxAge: Infinity })
  const file = yield* storeFile
  const posts = new Map(peers.map((peer) => [peer, new Array<string>()]))
  const start = Effect.tap(
    boot({ file, channels: { chat: far.channel }, outbox: { deadAfter: "1000 days" } }),
    ({ outbox }) => outbox.recover
  )
  let made: Boot = yield* start
  let crashes = 0
  /** Until nothing can be sent now; a request that hangs is given up by its bound. */
  const settle = Effect.gen(function* () {
    const settled = yield* Effect.forkChild(
      Effect.forEach(peers, (peer) => made.settled("chat", peer), { discard: true }),
      { startImmediately: true }
    )
    while (settled.pollUnsafe() === undefined) yield* TestClock.adjust("61 seconds")
  })
  for (const step of steps) {
    switch (step._tag) {
      case "Post": {
        const texts = posts.get(step.peer) ?? []
        texts.push(`${step.peer} ${texts.length}`)
        yield* made.post("chat", step.peer, texts.at(-1) ?? "")
        break
      }
      case "Fates":
        // A network that doubles a message is nothing that a sender could help, where the other side can't tell.
        far.fates(...step.fates.map((fate) => (kind.startsWith("ambiguous") && fate === "duplicate" ? "answer" : fate)))
        break
      case "Throttle":
        far.fates({ throttle: 90_000, scope: step.scope })
        break
      case "Wait":
        yield* TestClock.adjust(step.seconds * 1_000)
        break
      case "Settle":
        yield* settle
        break
      case "Restart":
        yield* made.outbox.drain(0)
        yield* made.close
        made = yield* start
        break
      case "Crash":
        // Left lying: the next boot's epoch fences it off.
        crashes++
        made = yield* start
    }
  }
  for (let round = 0; (yield* made.outbox.deliveries).pending > 0; round++) {
    assert.isBelow(round, 50, "something is owed for ever")
    yield* TestClock.adjust("7 minutes")
    yield* settle
  }
  return { far, posts, crashes, ledger: yield* made.journal.reads.ledger }
})

/** Indexes of the posts of which something is seen, in the order in which they are seen first. */
const order = (seen: ReadonlyArray<string>, texts: ReadonlyArray<string>) => {
  const found = seen.map((text) => texts.findIndex((post) => text === post || text.endsWith(`\n\n${post}`)))
  return found.filter((index, at) => index !== -1 && found.indexOf(index) === at)
}

describe("a far side that does anything, and boots that end anywhere", () => {
  for (const kind of ["keyed", "edit", "ambiguous-hold", "ambiguous-resend"] as const) {
    it.effect.prop(
      `C5 C8: ${kind}: nobody sees more or less than is promised, nor out of order`,
      [Schema.Array(Step).check(Schema.isMaxLength(24))],
      ([steps]) =>
        Effect.gen(function* () {
          const { far, ledger, posts } = yield* play(kind, steps)
          let unseen = 0
          for (const [peer, texts] of posts) {
            const seen = far.seen(peer)
            const inOrder = order(seen, texts)
            assert.deepStrictEqual(
              inOrder,
              inOrder.toSorted((a, b) => a - b),
              `order: ${seen.join()}`
            )
            unseen += texts.length - inOrder.length
            for (const text of texts) {
              const copies = seen.filter((shown) => shown === text || shown === `${maybeTwice}\n\n${text}`)
              const unmarked = copies.filter((shown) => shown === text)
              if (kind === "keyed" || kind === "edit") assert.deepStrictEqual(copies, [text], seen.join())
              else if (kind === "ambiguous-hold") assert.isAtMost(copies.length, 1)
              else {
                assert.isAtMost(copies.length, 2)
                assert.isAtMost(unmarked.length, 1)
              }
            }
          }
          const { posts: ends } = ledger
          assert.isTrue(ledger.balanced)
          assert.deepInclude(ends, { open: 0, undeliverable: 0 })
          assert.isAtMost(unseen, ends.unknown, "what nobody saw is shown as unknown, never dropped in silence")
        }).pipe(Effect.scoped, Effect.provide(Logger.layer([])), Effect.orDie),
      { arbitrary: { runs: 60 }, timeout: 120_000 }
    )
  }
})
