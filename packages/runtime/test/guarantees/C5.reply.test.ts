// C5, the reply's half: a stored reply is delivered without its agent, whatever point the process dies at, and what a
// person then sees is what the delivery class promises. The points are not a sample: every boundary that the delivery
// comes to is a crash of its own, and then every pair of two crashes.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../../src/testing/channels.ts"
import { addressOf, type Boot, boot, crashAt, released, storeFile } from "../outboxHarness.ts"

const pushed = TestChannel.testClasses.filter((kind) => kind !== "pull")
const kim = addressOf("chat", "kim")
const mark = "(You may have seen this before: the connection dropped while I was sending it.)"

/** What a boot does until there is nothing left to do. */
type Work = (boot: Boot) => Effect.Effect<void>

/** A client that retries its post until it is acknowledged, with its id. */
const post: Work = ({ post }) => post("chat", "kim", "hello", "job-1")

/** A session's work as far as the outbox sees it: admit (retried), claim or resume, placeholder, settle. */
const turnOf =
  (answered: Array<number>): Work =>
  ({ answer, claim, journal, outbox }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const [open] = journal.opening.turns
        const resumed = open === undefined ? undefined : yield* journal.resume(open.id)
        const running =
          resumed === undefined
            ? yield* claim("chat", "kim", "message-1")
            : { id: resumed.turn.id, attempt: resumed.turn.attempt, conversation: resumed.session.conversation }
        // Settled by an earlier boot: there is nothing left to run.
        if (running === undefined) return
        yield* outbox.begin(running.id, { conversation: running.conversation, address: kim })
        yield* outbox.progress(running.id, "the ans")
        answered.push(running.attempt)
        yield* answer(running, kim, "the answer")
      })
    ).pipe(Effect.orDie)

const rest = Effect.fnUntraced(function* ({ outbox, settled }: Boot) {
  for (let round = 0; round < 20; round++) {
    yield* settled("chat", "kim")
    if ((yield* Effect.orDie(outbox.deliveries)).pending === 0) return
    yield* TestClock.adjust("10 minutes")
  }
  assert.fail("something is still owed after 200 minutes")
})

/**
 * One boot that dies at its `n`-th boundary, or comes to an end before that. A dead one is left lying, as a killed process
 * would be, until all lives on its store have been looked at: the files that it has open are given back then, for the
 * system allows only so many.
 */
const shortLife = Effect.fnUntraced(function* (file: string, far: TestChannel.TestChannel, n: number, work: Work) {
  const crash = crashAt(n)
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Effect.forkDetach(Scope.close(scope, Exit.void)))
  const life = yield* boot({ file, channels: { chat: far.channel }, at: crash.at }).pipe(
    Effect.tap(({ outbox }) => outbox.recover),
    Effect.tap(work),
    Effect.tap(rest),
    Effect.forkIn(scope),
    Scope.provide(scope)
  )
  yield* Effect.raceFirst(crash.reached, Effect.asVoid(Fiber.await(life)))
  if (crash.died()) {
    yield* released(file)
    return { died: true, crossed: crash.seen }
  }
  yield* Fiber.join(life)
  yield* Scope.close(scope, Exit.void)
  return { died: false, crossed: crash.seen }
})

/** Boots that die at these boundaries, then one that does not; what a person sees and what the store says. */
const lives = (kind: TestChannel.TestClass, crashes: ReadonlyArray<number>, work: Work) =>
  Effect.gen(function* () {
    const far = TestChannel.make({ class: kind })
    const file = yield* storeFile
    const short = yield* Effect.forEach(crashes, (n) => shortLife(file, far, n, work))
    const last = yield* boot({ file, channels: { chat: far.channel } })
    yield* last.outbox.recover
    yield* work(last)
    yield* rest(last)
    const ledger = yield* last.journal.reads.ledger
    yield* last.close
    return {
      seen: far.seen("kim"),
      ledger,
      died: short.every(({ died }) => died),
      labels: short.map(({ crossed }) => crossed.at(-1) ?? "none"),
      crossed: short.map(({ crossed }) => crossed)
    }
  }).pipe(Effect.scoped, Effect.provide(Logger.layer([])), Effect.orDie)

type Life = Effect.Success<ReturnType<typeof lives>>

/** Holds the outcome to what the class promises after so many crashes. */
const promised = (kind: TestChannel.TestClass, life: Life, crashes: number) => {
  const where = `${kind}, crashed at ${life.labels.join(" and ")}: ${JSON.stringify(life.seen)}`
  const copies = life.seen.filter((text) => text.endsWith("hello"))
  const unmarked = copies.filter((text) => text === "hello")
  const { posts } = life.ledger
  assert.isTrue(life.ledger.balanced, where)
  assert.strictEqual(posts.accepted, 1, where)
  assert.strictEqual(posts.open, 0, where)
  switch (kind) {
    case "pull":
    case "keyed":
      assert.deepStrictEqual(life.seen, ["hello"], where)
      assert.strictEqual(posts.sent, 1, where)
      return
    case "edit":
      assert.deepStrictEqual(copies, ["hello"], where)
      assert.isAtMost(life.seen.length - 1, crashes, `${where}: at most one orphan placeholder per crash`)
      assert.isTrue(
        life.seen.every((text) => text === "hello" || text === "…"),
        where
      )
      assert.strictEqual(posts.sent, 1, where)
      return
    case "ambiguous-hold":
      assert.isAtMost(copies.length, 1, where)
      assert.strictEqual(posts.sent + posts.unknown, 1, where)
      if (copies.length === 0) assert.strictEqual(posts.unknown, 1, `${where}: never a silent drop`)
      return
    case "ambiguous-resend":
      assert.isAtMost(copies.length, 2, where)
      assert.isAtMost(unmarked.length, 1, where)
      assert.isTrue(
        copies.every((text) => text === "hello" || text === `${mark}\n\nhello`),
        where
      )
      assert.strictEqual(posts.sent + posts.unknown, 1, where)
      if (copies.length === 0) assert.strictEqual(posts.unknown, 1, `${where}: never a silent drop`)
  }
}

describe("C5: a reply, and a crash at every boundary of its delivery", () => {
  for (const kind of pushed) {
    it.effect(
      `D4 D6 D7: ${kind}: one crash, at each point in turn`,
      () =>
        Effect.gen(function* () {
          const labels = new Set<string>()
          for (let n = 1; ; n++) {
            const life = yield* lives(kind, [n], post)
            promised(kind, life, 1)
            if (!life.died) break
            for (const label of life.labels) labels.add(label)
          }
          for (const label of [
            "before:post",
            "inside:post",
            "after:post",
            "before:step",
            "inside:step",
            "after:step"
          ]) {
            assert.isTrue(labels.has(label), `${label} was one of the points`)
          }
          assert.isTrue(labels.has("send:before"))
          assert.isTrue(labels.has("send:after"))
        }),
      240_000
    )

    // Where a second crash could mean something else than the first.
    if (kind !== "edit" && kind !== "ambiguous-resend") continue
    it.effect(
      `D4 D7: ${kind}: two crashes, at each pair of points`,
      () =>
        Effect.gen(function* () {
          for (let first = 1; ; first++) {
            let alive = false
            for (let second = 1; ; second++) {
              const life = yield* lives(kind, [first, second], post)
              promised(kind, life, 2)
              if (life.died) continue
              alive = second === 1
              break
            }
            if (alive) break
          }
        }),
      240_000
    )
  }
})

describe("C5: a reply that is pulled, and a crash at every boundary", () => {
  it.effect("D4 D7: whoever keeps a cursor gets it once", () =>
    Effect.gen(function* () {
      for (let n = 1; ; n++) {
        const reader = { after: 0, got: new Array<string>() }
        const read: Work = (boot) =>
          Effect.gen(function* () {
            yield* post(boot)
            const { replies } = yield* boot.outbox.page("chat/kim", reader.after, 10)
            reader.got.push(...replies.map((reply) => reply.text))
            reader.after = replies.at(-1)?.number ?? reader.after
          }).pipe(Effect.orDie)
        const life = yield* lives("pull", [n], read)
        assert.deepStrictEqual(reader.got, ["hello"], life.labels.join())
        assert.deepInclude(life.ledger.posts, { accepted: 1, sent: 1, open: 0 }, life.labels.join())
        if (!life.died) break
      }
    })
  )
})

describe("C5: a turn with a placeholder, and a crash at every boundary", () => {
  it.effect(
    "C6 D4 D7: its answer is shown once and the agent's work is not asked for again once it is settled",
    () =>
      Effect.gen(function* () {
        for (let n = 1; ; n++) {
          const answered: Array<number> = []
          const life = yield* lives("edit", [n], turnOf(answered))
          const where = `crashed at ${life.labels.join()}: ${JSON.stringify(life.seen)}`
          assert.deepStrictEqual(
            life.seen.filter((text) => text !== "…"),
            ["the answer"],
            where
          )
          assert.isAtMost(life.seen.length, 2, `${where}: at most one orphan placeholder`)
          const settled = life.crossed[0]?.includes("after:settle") === true
          assert.isAtMost(answered.length, settled ? 1 : 2, `${where}: settled work is not run again`)
          assert.deepInclude(life.ledger, { balanced: true, accepted: 1, open: 0 }, where)
          assert.strictEqual(life.ledger.ends.replied, 1, where)
          if (!life.died) break
        }
      }),
    240_000
  )
})
