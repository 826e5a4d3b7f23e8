// How work ends before its time: cut by a newer item, cancelled, drained, interrupted, closed. Nothing overlaps, nothing is
// lost without being handed back, and "busy" means unfinished.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as FollowupQueue from "../src/FollowupQueue.ts"

const { Offer } = FollowupQueue

/** A queue whose runs begin, wait for `gate`, and tell how they ended; their finalizers wait for `clean`. */
const held = (options: Partial<FollowupQueue.Options<string, number, never>> = {}) =>
  Effect.gen(function* () {
    const gate = yield* Latch.make()
    const clean = yield* Latch.make(true)
    const events = yield* Queue.unbounded<string>()
    const queue = yield* FollowupQueue.make<string, number>({
      drop: "old",
      ...options,
      run: (key, items) =>
        Effect.andThen(Queue.offer(events, `begin ${key}${items.join()}`), gate.await).pipe(
          Effect.onExit((exit) =>
            Effect.andThen(
              clean.await,
              Queue.offer(events, `${Exit.hasInterrupts(exit) ? "cut" : "end"} ${key}${items.join()}`)
            )
          )
        )
    })
    return { queue, gate, clean, events, next: Queue.take(events) }
  })

describe("interrupt mode", () => {
  it.effect("cuts the run, waits for its finalizers, and then runs what came", () =>
    Effect.gen(function* () {
      const { queue, gate, clean, events, next } = yield* held({ mode: "interrupt" })
      yield* clean.close
      yield* queue.push("a", 1)
      assert.strictEqual(yield* next, "begin a1")
      assert.deepStrictEqual(yield* queue.push("a", 2), Offer.Queued({ position: 1 }))
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Queued({ position: 2 }))
      yield* Effect.yieldNow
      assert.strictEqual(yield* Queue.size(events), 0)
      yield* clean.open
      assert.deepStrictEqual([yield* next, yield* next], ["cut a1", "begin a2,3"])
      yield* gate.open
      assert.strictEqual(yield* next, "end a2,3")
    })
  )

  it.effect("cuts a run that pushes for its own key as its first act", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      const queue: FollowupQueue.FollowupQueue<string, number> = yield* FollowupQueue.make<string, number>({
        mode: "interrupt",
        drop: "old",
        run: (key, items) =>
          (items[0] === 1 ? Effect.andThen(queue.push(key, 2), Effect.never) : Effect.void).pipe(
            Effect.onExit((exit) => Effect.sync(() => ended.push(`${exit._tag} ${items.join()}`)))
          )
      })
      yield* queue.push("a", 1)
      while (ended.length === 0) yield* Effect.yieldNow
      yield* queue.drain
      assert.deepStrictEqual(ended, ["Failure 1", "Success 2"])
    })
  )

  it.effect("does not cut a run that has not begun: the item joins it", () =>
    Effect.gen(function* () {
      const { queue, gate, next } = yield* held({ mode: "interrupt" })
      yield* gate.open
      assert.deepStrictEqual(yield* queue.push("a", 1), Offer.Started())
      assert.deepStrictEqual(yield* queue.push("a", 2), Offer.Started())
      assert.deepStrictEqual([yield* next, yield* next], ["begin a1,2", "end a1,2"])
    })
  )

  it.effect("leaves the run alone for an item that falls at the cap", () =>
    Effect.gen(function* () {
      const { queue, gate, next } = yield* held({ mode: "interrupt", cap: 0, drop: "new" })
      yield* queue.push("a", 1)
      assert.strictEqual(yield* next, "begin a1")
      assert.deepStrictEqual(yield* queue.push("a", 2), Offer.Dropped({ policy: "new" }))
      yield* gate.open
      assert.strictEqual(yield* next, "end a1")
    })
  )
})

describe("cancel", () => {
  it.effect("returns what waits and leaves the run alone", () =>
    Effect.gen(function* () {
      const { queue, gate, next, events } = yield* held()
      yield* queue.push("a", 1)
      yield* next
      for (const item of [2, 3]) yield* queue.push("a", item)
      assert.deepStrictEqual(yield* queue.cancel("a"), [2, 3])
      assert.deepStrictEqual(yield* queue.cancel("nobody"), [])
      yield* gate.open
      yield* queue.drain
      assert.deepStrictEqual(yield* Queue.takeAll(events), ["end a1"])
    })
  )

  it.effect("with run also interrupts the run and waits for its finalizers; the key can be used again", () =>
    Effect.gen(function* () {
      const { queue, clean, next, gate } = yield* held()
      yield* clean.close
      yield* queue.push("a", 1)
      yield* next
      yield* queue.push("a", 2)
      const cancelling = yield* Effect.forkChild(queue.cancel("a", { run: true }), { startImmediately: true })
      assert.isUndefined(cancelling.pollUnsafe())
      yield* clean.open
      assert.deepStrictEqual(yield* Fiber.join(cancelling), [2])
      assert.strictEqual(yield* next, "cut a1")
      assert.isFalse(queue.busy)
      yield* gate.open
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Started())
      assert.strictEqual(yield* next, "begin a3")
    })
  )

  it.effect("takes back a start that has not begun, and its place goes to the next key", () =>
    Effect.gen(function* () {
      const { queue, gate, next } = yield* held({ concurrency: 1 })
      yield* gate.open
      yield* queue.push("a", 1)
      yield* queue.push("b", 2)
      yield* queue.push("c", 3)
      assert.deepStrictEqual(yield* queue.cancel("a", { run: true }), [1])
      assert.deepStrictEqual(yield* queue.cancel("c"), [3])
      assert.deepStrictEqual([yield* next, yield* next], ["begin b2", "end b2"])
      yield* queue.drain
      assert.deepStrictEqual(queue.report, [])
    })
  )
})

describe("drain", () => {
  it.effect("S5: a queue whose list is empty is busy while its running item is unfinished", () =>
    Effect.gen(function* () {
      const { queue, gate, next } = yield* held({ mode: "followup" })
      assert.isFalse(queue.busy)
      yield* queue.push("a", 1)
      yield* next
      assert.strictEqual(queue.depth("a"), 0)
      assert.isTrue(queue.busy)
      const draining = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(draining.pollUnsafe())
      yield* gate.open
      yield* Fiber.join(draining)
      assert.isFalse(queue.busy)
    })
  )

  it.effect("S5: finishes what runs and what waits, takes nothing new, and the report counts each", () =>
    Effect.gen(function* () {
      const { queue, gate, next, events } = yield* held({ mode: "followup" })
      for (const item of [1, 2, 3]) yield* queue.push("a", item)
      yield* queue.push("b", 4)
      yield* next
      yield* next
      assert.deepStrictEqual(queue.report, [
        { key: "a", waiting: 2, running: 1 },
        { key: "b", waiting: 0, running: 1 }
      ])
      const draining = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      assert.deepStrictEqual(yield* queue.push("a", 5), Offer.Draining())
      assert.deepStrictEqual(yield* queue.push("c", 6), Offer.Draining())
      yield* gate.open
      yield* Fiber.join(draining)
      const ended = (yield* Queue.takeAll(events)).filter((event) => event.startsWith("end"))
      assert.deepStrictEqual(ended.sort(), ["end a1", "end a2", "end a3", "end b4"])
    })
  )

  it.effect("is what the scope's end does", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { queue, gate, events } = yield* Scope.provide(held({ mode: "followup" }), scope)
      yield* queue.push("a", 1)
      yield* queue.push("a", 2)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.deepStrictEqual(yield* queue.push("a", 3), Offer.Draining())
      assert.isUndefined(closing.pollUnsafe())
      yield* gate.open
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Queue.takeAll(events), ["begin a1", "end a1", "begin a2", "end a2"])
    })
  )
})

describe("interrupt", () => {
  it.effect("stops at once and returns what did not run and what was cut", () =>
    Effect.gen(function* () {
      const { queue, events, next, clean } = yield* held({ mode: "followup", concurrency: 2 })
      yield* clean.close
      for (const item of [1, 2]) yield* queue.push("a", item)
      yield* queue.push("b", 3)
      yield* queue.push("c", 4)
      yield* next
      yield* next
      const interrupting = yield* Effect.forkChild(queue.interrupt, { startImmediately: true })
      assert.deepStrictEqual(yield* queue.push("d", 5), Offer.Draining())
      yield* Effect.yieldNow
      assert.isUndefined(interrupting.pollUnsafe())
      yield* clean.open
      assert.deepStrictEqual(yield* Fiber.join(interrupting), [
        { key: "a", waiting: [2], cut: [1] },
        { key: "b", waiting: [], cut: [3] },
        { key: "c", waiting: [4], cut: [] }
      ])
      assert.deepStrictEqual((yield* Queue.takeAll(events)).sort(), ["cut a1", "cut b3"])
      assert.isFalse(queue.busy)
    })
  )

  it.effect("returns a start that has not begun as waiting, and does not begin it", () =>
    Effect.gen(function* () {
      const { queue, events } = yield* held()
      yield* queue.push("a", 1)
      assert.deepStrictEqual(yield* queue.interrupt, [{ key: "a", waiting: [1], cut: [] }])
      assert.strictEqual(yield* Queue.size(events), 0)
      assert.deepStrictEqual(yield* queue.interrupt, [])
    })
  )

  it.effect("ends a drain that takes too long", () =>
    Effect.gen(function* () {
      const { queue, next } = yield* held()
      yield* queue.push("a", 1)
      yield* next
      const draining = yield* Effect.forkChild(queue.drain, { startImmediately: true })
      assert.isUndefined(draining.pollUnsafe())
      assert.deepStrictEqual(yield* queue.interrupt, [{ key: "a", waiting: [], cut: [1] }])
      yield* Fiber.join(draining)
    })
  )
})
