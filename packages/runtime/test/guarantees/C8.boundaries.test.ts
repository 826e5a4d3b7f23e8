// D4: a crash at every durable boundary, and between every two phases of the boot, of a reload and of the stop. The same
// people live through all of them: their clients repeat what has no receipt, and whatever was accepted ends exactly once,
// is seen by them in order and in the number of copies that the channel's class allows.
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { type Boot, type BootOptions, boundaries, type Label, lived, type World, world } from "./boots.ts"
import { atRest, balances, check, pass, People } from "./people.ts"

const options: BootOptions = { debounce: { quiet: "300 millis" }, queue: { cap: 2, drop: "old" } }

/** Everybody writes: a tool, a failure, a question, a long turn, a post, and one for each delivery class. */
const everybody = (people: People, boot: Boot, part: string) =>
  Effect.gen(function* () {
    yield* people.say(boot, "chat", "kim", `${part}k1`, "tool slow")
    yield* people.say(boot, "push", "lee", `${part}l1`, "hello")
    yield* people.say(boot, "push", "max", `${part}m1`, "fail")
    yield* people.say(boot, "push", "amy", `${part}a1`, "ask")
    yield* people.say(boot, "push", "joe", `${part}j1`, "long")
    yield* people.say(boot, "pull", "ann", `${part}n1`, "hello")
    yield* people.say(boot, "amb", "bob", `${part}b1`, "hello")
    yield* people.say(boot, "push", "lee", `${part}p1`, `${part} post`, true)
    yield* pass(0.5)
    yield* balances(boot)
    for (const n of [2, 3, 4, 5]) {
      yield* people.say(boot, "chat", "kim", `${part}k${n}`, "more")
      yield* pass(0.5)
    }
    yield* people.say(boot, "push", "joe", `${part}j2`, "/stop")
    yield* pass(3)
    yield* balances(boot)
  })

/** The agent, and the channel `push` for another of the same far side. */
const reload = (people: People, boot: Boot) => boot.reload(people.agent().agent, "push")

/** The first life: it ends with work of every kind open. */
const first = (people: People) => (boot: Boot) =>
  Effect.gen(function* () {
    yield* everybody(people, boot, "1")
    yield* reload(people, boot)
    yield* people.say(boot, "chat", "kim", "1k6", "slow")
    yield* people.say(boot, "push", "lee", "1l2", "slow")
    yield* pass(0.5)
    yield* boot.crash
  })

const keys = ["chat/kim", "push/lee", "push/max", "push/amy", "push/joe", "pull/ann", "amb/bob"]

/** A whole life after a crash: everything again, then more of it, until all is at rest; it is stopped in the middle of a turn. */
const whole = (people: People, place: World, life: number, checked: boolean) => (boot: Boot) =>
  Effect.gen(function* () {
    yield* balances(boot)
    yield* people.again(boot)
    yield* everybody(people, boot, "2")
    yield* people.decide(boot, place, life)
    yield* reload(people, boot)
    yield* atRest(people, boot, place, life, keys)
    if (checked) return yield* check(people, boot, place, /^.(k\d|j1)$/)
    yield* people.say(boot, "chat", "kim", "2k7", "slow")
    yield* people.say(boot, "push", "lee", "2l3", "slow")
    yield* pass(0.5)
    yield* Effect.forkChild(boot.gateway.stop({ reason: "stop" }), { startImmediately: true })
    yield* pass(3)
  })

const worldOf = Effect.map(world({ chat: "edit", push: "keyed", pull: "pull", amb: "ambiguous-resend" }), (place) => {
  place.far.push?.fatesOf("deliver", { throttle: 2000, scope: "conversation" })
  return place
})

interface Death {
  readonly life: 1 | 2
  readonly label: Label
  readonly nth: number
}

/** The lives of one world with a death in one of them, then one that comes to its end and is looked at. */
const lives = (death: Death | undefined) =>
  Effect.gen(function* () {
    const place = yield* worldOf
    const people = new People()
    const crossed: Array<ReadonlyMap<Label, number>> = []
    for (const [life, work] of [
      [1, first(people)],
      [2, whole(people, place, 2, false)]
    ] as const) {
      const grave = death?.life === life ? { label: death.label, nth: death.nth } : undefined
      const { died, life: ended } = yield* lived(
        place,
        { ...options, agent: people.agent(), ...(grave === undefined ? {} : { grave }) },
        work
      )
      crossed.push(ended.crossed)
      if (grave === undefined) continue
      assert.isTrue(died, `life ${life} came to ${grave.label} ${grave.nth} times`)
      break
    }
    yield* lived(place, { ...options, agent: people.agent() }, whole(people, place, 3, true))
    return crossed
  }).pipe(Effect.scoped)

describe("C8: accepted = ended + open, whatever point the process dies at", () => {
  it.effect("D4: without a death, everybody's messages come to their ends", () => Effect.asVoid(lives(undefined)))

  it.effect(
    "D4 D21: with a death at every label, the first time and in the middle, in a first life and in a second one",
    () =>
      Effect.gen(function* () {
        const crossed = yield* lives(undefined)
        const hit = new Set<Label>()
        for (const label of boundaries) {
          for (const life of [1, 2] as const) {
            const times = crossed[life - 1]?.get(label) ?? 0
            for (const nth of new Set(times === 0 ? [] : [1, Math.ceil((times + 1) / 2)])) {
              hit.add(label)
              yield* lives({ life, label, nth }).pipe(
                Effect.catchCause((cause) =>
                  Effect.die(new Error(`life ${life}, ${label} ${nth}: ${Cause.pretty(cause)}`))
                )
              )
            }
          }
        }
        assert.deepStrictEqual([...hit], [...boundaries], "every label was a death")
      }),
    600_000
  )
})
