// The simulation: a seed is a history, to the byte; histories differ from seed to seed; what they need to be worth
// something happens in them; and the judge sees a history that was tampered with.
import { assert, beforeAll, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import { judge } from "../src/checker/judge.ts"
import type { Operation } from "../src/history/Operation.ts"
import { open, openStore } from "../src/levels/L0/open.ts"
import { planOf } from "../src/levels/L0/plan.ts"
import { play } from "../src/levels/L0/simulate.ts"
import { Store, type User } from "../src/levels/L0/store.ts"
import { outside, Time } from "../src/levels/L0/time.ts"
import { shrink, tryPlan, trySeed } from "../src/levels/L0/trial.ts"

let store: Store
beforeAll(async () => {
  store = await Effect.runPromise(openStore)
})

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n)

const textOf = (seed: number) => play(planOf(seed), store).history.text()

const judged = (operations: ReadonlyArray<Operation>) =>
  judge("a history", { lines: operations.map((operation, index) => ({ line: index + 1, operation })), torn: [] })

describe("a seed", () => {
  it("is one history, byte by byte, whatever was played before it", async () => {
    const first = seeds(1, 12).map(textOf)
    const again = seeds(1, 12).toReversed().map(textOf).toReversed()
    assert.deepStrictEqual(again, first)
    const fresh = await Effect.runPromise(openStore)
    assert.deepStrictEqual(
      seeds(1, 12).map((seed) => play(planOf(seed), fresh).history.text()),
      first
    )
  })

  it("is another history than twenty others", () => {
    assert.strictEqual(new Set(seeds(100, 20).map(textOf)).size, 20)
  })

  it("draws nothing from the machine: no clock, no chance, no timer of the platform", () => {
    const before = {
      now: Date.now,
      random: Math.random,
      timer: globalThis.setTimeout,
      immediate: globalThis.setImmediate
    }
    const drawn: Array<string> = []
    const forbidden = (name: string) => () => {
      drawn.push(name)
      return 0
    }
    Object.assign(Date, { now: forbidden("Date.now") })
    Object.assign(Math, { random: forbidden("Math.random") })
    Object.assign(globalThis, { setTimeout: forbidden("setTimeout"), setImmediate: forbidden("setImmediate") })
    try {
      seeds(200, 20).forEach(textOf)
    } finally {
      Object.assign(Date, { now: before.now })
      Object.assign(Math, { random: before.random })
      Object.assign(globalThis, { setTimeout: before.timer, setImmediate: before.immediate })
    }
    assert.deepStrictEqual(drawn, [])
  })
})

describe("two hundred histories", () => {
  it("keep every promise, and everything that can go wrong happens in them", () => {
    const happened = new Set<string>()
    for (const seed of seeds(1000, 200)) {
      const { played, plan, verdict } = trySeed(seed, store)
      assert.deepStrictEqual(verdict.broken, [], `seed ${seed}`)
      assert.deepStrictEqual(verdict.unjudged, [], `seed ${seed}`)
      happened.add(plan.mode)
      happened.add(plan.drop)
      for (const operation of played.history.operations) {
        const { op, phase } = operation
        happened.add(`${op} ${phase}`)
        if (op === "deliver") happened.add(operation.class).add(operation.what)
        if (op === "deliver" && operation.part === 2) happened.add("parts")
        if (op === "run" && operation.session !== "1") happened.add("sessions")
        if (op === "run" && operation.ids.some((id) => id.startsWith("y"))) happened.add("run again")
        if (op === "send" && operation.post === true) happened.add(`post ${phase}`)
        if (op === "kill") happened.add(`kill ${operation.during.split(":")[0]}`)
        if (op === "stop" && operation.exitCode !== undefined) happened.add(`exit ${operation.exitCode}`)
      }
    }
    const wanted = [
      ...["collect", "followup", "interrupt", "summarize", "old", "new"],
      ...["send ok", "send info", "run ok", "run fail", "deliver ok", "deliver info", "deliver fail"],
      ...["boot ok", "boot fail", "stop ok", "exit 0", "exit 75", "exit 80", "exit 74", "reload ok", "fault invoke"],
      ...["pull", "keyed", "edit", "resend-once", "hold", "answer", "copy", "notice", "command", "placeholder"],
      ...["parts", "sessions", "run again", "post ok", "post info"],
      ...["kill load", "kill statement", "kill before", "kill inside", "kill after", "kill boot", "kill stop"]
    ]
    assert.deepStrictEqual(
      wanted.filter((what) => !happened.has(what)),
      []
    )
  })

  it("are judged: an answer that is taken out of one, or is there twice, is seen", () => {
    // Where nothing may end unseen, and nobody may be left without an answer.
    const strict = seeds(1, 100).find((one) =>
      planOf(one).talks.every(({ channel, loose }) => !loose && channel === "keyed")
    )
    const { operations } = play(planOf(strict ?? 1), store).history
    const answers = operations.flatMap((operation, index) =>
      operation.op === "deliver" && operation.what === "answer" && operation.phase !== "fail"
        ? [{ index, operation }]
        : []
    )
    const last = answers.at(-1)
    if (last?.operation.op !== "deliver") return assert.fail("the history has no answer")
    const { remoteId } = last.operation
    const without = operations.filter((operation) => operation.op !== "deliver" || operation.remoteId !== remoteId)
    assert.include(
      judged(without).broken.map(({ invariant }) => invariant),
      "I1"
    )
    const twice = operations.toSpliced(last.index + 1, 0, { ...last.operation, remoteId: "another" })
    assert.isNotEmpty(judged(twice).broken)
  })
})

describe("a history that never comes to rest", () => {
  it("is judged after bounded work: a gateway that ends at every boot is given up", async () => {
    class Failing extends Store {
      fails = false
      override client(user: User) {
        const failing = { ...user, mishap: () => ({ what: "ioError", after: false }) as const }
        return super.client(this.fails ? failing : user)
      }
    }
    const broken = await Effect.runPromise(open(new Failing()))
    broken.fails = true
    const { played, verdict } = tryPlan(planOf(1), broken)
    assert.include(played.stuck, "boots")
    assert.isBelow(played.history.operations.length, 2000)
    const what = verdict.broken.map((one) => one.what)
    assert.isTrue(what.some((one) => one.startsWith("nothing comes to rest: more than")))
  })

  it("is judged after bounded work: tasks, statements and timers that never end are cut off", () => {
    const forever: ReadonlyArray<readonly [string, (time: Time) => void]> = [
      ["tasks", (time) => time.task(outside, () => forever[0]?.[1](time))],
      ["statements", (time) => time.task(outside, () => Array.from({ length: 20_000 }, () => time.statement()))],
      ["timers", (time) => void time.timer(outside, 1, () => forever[2]?.[1](time))]
    ]
    for (const [what, begin] of forever) {
      const time = new Time()
      begin(time)
      time.run(1e9)
      assert.include(time.stuck, what)
      assert.isBelow(time.now, 1e9)
    }
  })
})

describe("a history that breaks a promise", () => {
  it("is made smaller: steps that it does not need are left out, and it still breaks it", () => {
    // What the plan says of a talk decides what is promised there: without its word messages may not end unseen.
    const seed = seeds(2000, 400).find((one) => {
      const { talks, steps } = planOf(one)
      return talks.every(({ loose }) => loose) && steps.some((step) => step.do === "command" && step.text === "/stop")
        ? tryPlan({ ...planOf(one), talks: talks.map((talk) => ({ ...talk, loose: false })) }, store).verdict.broken
            .length > 0
        : false
    })
    if (seed === undefined) return assert.fail("no seed stops a message")
    const plan = planOf(seed)
    const whole = tryPlan({ ...plan, talks: plan.talks.map((talk) => ({ ...talk, loose: false })) }, store)
    const small = shrink(whole, store)
    assert.isBelow(small.plan.steps.length, whole.plan.steps.length)
    assert.isNotEmpty(small.verdict.broken)
  })
})
