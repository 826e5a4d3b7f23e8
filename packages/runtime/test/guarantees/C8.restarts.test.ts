// S19, D28: restarts under load. People write all the time, their clients repeat what has no receipt; the gateway is
// stopped in order or dies at random moments, again and again, and once it comes back over a store that a newer version
// has added to. A seed names a life, so that a failure can be lived again.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { DatabaseSync } from "node:sqlite"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, type BootOptions, boot, boundaries, given, lived, rest, type World, world } from "./boots.ts"
import { atRest, balances, check, pass, People } from "./people.ts"

/** A small generator of numbers in [0, 1) that a seed decides (mulberry32). */
const randomOf = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const places = [
  ["chat", "kim"],
  ["chat", "lee"],
  ["push", "kim"],
  ["push", "max"],
  ["pull", "ann"],
  ["amb", "bob"]
] as const
const keys = places.map(([channel, peer]) => `${channel}/${peer}`)
const words = ["hello", "hello", "slow", "tool", "fail", "ask"]
const commands = ["/stop", "/new", "/queue interrupt", "/queue followup", "/queue collect"]

// No cap and no command: everything has to be answered.
const options: BootOptions = { debounce: { quiet: "200 millis" }, queue: { cap: 10_000 } }

/** What decides a life: who writes what, and when it ends. */
interface Fate {
  readonly random: () => number
  readonly texts: ReadonlyArray<string>
}

/** So many messages at random moments. A client that was not answered repeats its message after a while. */
const load = (people: People, boot: Boot, { random, texts }: Fate, messages: number) =>
  Effect.gen(function* () {
    for (let n = 0; n < messages; n++) {
      const [channel, peer] = places[Math.floor(random() * places.length)] ?? places[0]
      const text = texts[Math.floor(random() * texts.length)] ?? "hello"
      yield* people.say(boot, channel, peer, `m${people.sent.size}`, text)
      if (random() < 0.2) yield* people.again(boot)
      if (random() < 0.5) yield* pass(0.25 * Math.ceil(random() * 4))
    }
  })

/** The life of one process: what came before is tried again, more comes, and it ends by death or by a stop. */
const life = (people: People, place: World, fate: Fate, n: number, dies: boolean) => (boot: Boot) =>
  Effect.gen(function* () {
    yield* balances(boot)
    yield* people.again(boot)
    yield* load(people, boot, fate, 12)
    yield* people.decide(boot, place, n)
    // Long enough for every turn to have a chance: three deaths in one would set it aside.
    yield* pass(6)
    yield* load(people, boot, fate, 3)
    yield* balances(boot)
    if (dies) return yield* boot.crash
    yield* Effect.forkChild(boot.gateway.stop({ reason: "restart" }), { startImmediately: true })
    // Some of them still get in while it stops.
    yield* Effect.ignore(load(people, boot, fate, 3))
    yield* pass(28)
  })

/** The first results of all: what a retry is answered with must not change any more. */
const results = (people: People, boot: Boot) =>
  Effect.forEach(
    [...people.sent.values()].filter(({ text }) => !text.startsWith("/")),
    ({ channel, receipt }) =>
      Effect.map(boot.handle(channel).ended(receipt?.seq ?? 0), (standing) =>
        JSON.stringify([standing?.ended, standing?.replies.map(({ id, text }) => [id, text])])
      )
  )

const restarts = (seed: number, texts: ReadonlyArray<string>, mayEnd: RegExp) =>
  Effect.gen(function* () {
    const place = yield* world({ chat: "edit", push: "keyed", pull: "pull", amb: "ambiguous-resend" })
    const people = new People()
    const random = randomOf(seed)
    let deaths = 0
    for (let n = 1; n <= 6; n++) {
      // Two deaths in a row at most: the third would set aside what they cut, and hold the resume of everything else.
      const dies: boolean = deaths < 2 && random() < 0.6
      const label = boundaries[Math.floor(random() * boundaries.length)]
      const grave = dies && label !== undefined && random() < 0.5 ? { label, nth: Math.ceil(random() * 8) } : undefined
      const { died } = yield* lived(
        place,
        { ...options, agent: people.agent(), ...(grave === undefined ? {} : { grave }) },
        life(people, place, { random, texts }, n, dies)
      )
      deaths = died ? deaths + 1 : 0
    }
    let first: ReadonlyArray<string> = []
    yield* lived(place, { ...options, agent: people.agent() }, (boot) =>
      Effect.gen(function* () {
        yield* people.again(boot)
        yield* atRest(people, boot, place, 7, keys)
        yield* check(people, boot, place, mayEnd)
        first = yield* results(people, boot)
      })
    )
    yield* lived(place, { ...options, agent: people.agent() }, (boot) =>
      Effect.gen(function* () {
        const runs = people.runs.length
        yield* people.again(boot)
        yield* rest(boot, ...keys)
        assert.deepStrictEqual(yield* results(people, boot), first, "a retry is answered with the first result")
        assert.strictEqual(people.runs.length, runs, "and costs no run")
      })
    )
  }).pipe(Effect.scoped)

describe("C8: restarts under load", () => {
  for (let seed = 1; seed <= Number(process.env["SEEDS"] ?? 4); seed++) {
    it.effect(
      `S19: seed ${seed}: no accepted message is lost, and every retry has its first result`,
      () => restarts(seed, words, /^$/),
      120_000
    )
    it.effect(
      `S19 D25: seed ${seed}, with commands in between: each runs once, and what is not answered was cancelled`,
      () => restarts(seed + 1000, [...words, ...commands], /./),
      120_000
    )
  }
})

describe("C8: another version's store", () => {
  it.effect("D28: what a newer minor version added is left alone, and what it left open is drained", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place)
      yield* first.say("kim", "running")
      yield* first.agent.run(1)
      yield* first.say("kim", "waiting")
      yield* first.crash

      const newer = new DatabaseSync(place.file)
      const latest = Number(newer.prepare("select max(migration_id) as id from sluice_migrations").get()?.id)
      newer.exec(`
        insert into sluice_migrations (migration_id, name, created_at) values (${latest + 1}, 'later', 0);
        alter table sluice_turns add column later text default 'kept';
        alter table sluice_inbound add column later text default 'kept';
        create table sluice_later (id integer primary key, what text);
        insert into sluice_later values (1, 'kept')`)
      newer.close()

      const agent = TestAgent.echo()
      const second = yield* boot(place, { agent })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent), ["running", "waiting"])
      assert.deepInclude(yield* second.gateway.audit, { accepted: 2, open: 0, balanced: true })
      yield* second.stop
      const after = new DatabaseSync(place.file, { readOnly: true })
      assert.deepStrictEqual({ ...after.prepare("select what from sluice_later").get() }, { what: "kept" })
      assert.strictEqual(after.prepare("select count(*) as n from sluice_inbound where later = 'kept'").get()?.n, 2)
      after.close()
    })
  )
})
