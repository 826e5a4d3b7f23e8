// Many deadlines on one timer: each fires once, at its own time and in order, however often it was moved; and with nothing
// armed there is no timer.
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Deadlines from "../src/internal/Deadlines.ts"

class Named extends Deadlines.Deadline {
  readonly name: number

  constructor(name: number) {
    super()
    this.name = name
  }
}

/** Deadlines that write down which fired when. */
const recording = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const fired: Array<readonly [at: number, name: number]> = []
  const deadlines = yield* Deadlines.make<Named>((entry) => {
    fired.push([clock.currentTimeMillisUnsafe(), entry.name])
  })
  return { deadlines, fired }
})

const Moves = Schema.Array(
  Schema.Struct({
    name: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 19 })),
    pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
    due: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })),
    disarm: Schema.Literals([0, 0, 0, 0, 1])
  })
).check(Schema.isMinLength(10), Schema.isMaxLength(100))

const Dues = Schema.Array(
  Schema.Struct({
    due: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })),
    stays: Schema.Literals([0, 1])
  })
).check(Schema.isMinLength(30), Schema.isMaxLength(200))

it.effect.prop(
  "each deadline fires once, at the time to which it was moved last, earliest first",
  { moves: Moves },
  ({ moves }) =>
    Effect.gen(function* () {
      const { deadlines, fired } = yield* recording
      const entries = Array.from({ length: 20 }, (_, name) => new Named(name))
      const armed = new Map<number, number>()
      const expected: Array<readonly [number, number]> = []
      let time = 0
      const pass = (until: number) => {
        for (const [name, due] of armed) {
          if (due > until) continue
          expected.push([due, name])
          armed.delete(name)
        }
        time = until
      }
      for (const { name, pause, due, disarm } of moves) {
        const entry = entries[name] as Named
        yield* TestClock.adjust(pause)
        pass(time + pause)
        if (disarm === 1) {
          deadlines.disarm(entry)
          armed.delete(name)
        } else {
          deadlines.arm(entry, deadlines.now() + due)
          armed.set(name, time + due)
        }
        assert.strictEqual(deadlines.size(), armed.size)
        assert.strictEqual(deadlines.ticking(), armed.size > 0)
      }
      yield* TestClock.adjust(200)
      pass(time + 200)
      assert.deepStrictEqual(
        fired.map(([at]) => at),
        fired.map(([at]) => at).toSorted((a, b) => a - b)
      )
      const byTimeAndName = (a: readonly [number, number], b: readonly [number, number]) => a[0] - b[0] || a[1] - b[1]
      assert.deepStrictEqual(fired.toSorted(byTimeAndName), expected.toSorted(byTimeAndName))
      assert.isFalse(deadlines.ticking())
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
)

it.effect.prop("taking any of many away leaves the others in order", { dues: Dues }, ({ dues }) =>
  Effect.gen(function* () {
    const { deadlines, fired } = yield* recording
    const entries = dues.map(({ due }, name) => {
      const entry = new Named(name)
      deadlines.arm(entry, due)
      return entry
    })
    for (const [name, { stays }] of dues.entries()) if (stays === 0) deadlines.disarm(entries[name] as Named)
    yield* TestClock.adjust(1000)
    const expected = dues.filter(({ stays }) => stays === 1).map(({ due }) => due)
    assert.deepStrictEqual(
      fired.map(([at]) => at),
      expected.sort((a, b) => a - b)
    )
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
)

it.effect("more deadlines than fit in one round fire without another tick of the clock", () =>
  Effect.gen(function* () {
    const { deadlines, fired } = yield* recording
    for (let name = 0; name < 5000; name++) deadlines.arm(new Named(name), deadlines.now() + 10)
    yield* TestClock.adjust(10)
    assert.strictEqual(fired.length, 5000)
    assert.isFalse(deadlines.ticking())
  })
)

it.effect("the scope's end stops the timer and fires nothing", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { deadlines, fired } = yield* Scope.provide(recording, scope)
    deadlines.arm(new Named(1), deadlines.now() + 10)
    yield* Scope.close(scope, Exit.void)
    assert.isFalse(deadlines.ticking())
    yield* TestClock.adjust(10)
    assert.deepStrictEqual(fired, [])
  })
)
