// Turns that are cut off, with each kind of agent in one gateway: by its death, by a stop that does not wait any longer,
// and by a restart that one of them asks for; and an agent that kills its gateway. What the next boot makes of it depends
// on what the agent left behind: a process that still works, a conversation of its own, or nothing.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { missing } from "../../../../packages/agents/test/installed.ts"
import { type Asked, type Plan, planOf } from "../../../../packages/agents/test/standIn/anthropic.ts"
import { launch, type Process, program, reportIn, type Running, running, until } from "../harness.ts"
import { begun, each, type Kind, kinds, showing, type Talk, type World, world } from "../kinds.ts"

/** Milliseconds; processes that start take their time on a machine that is busy. */
const longest = 300_000

const bash = (command: string) => `tool Bash ${JSON.stringify({ command })}`

const restart = bash(`'${process.execPath}' '${program}' restart`)

/** A model that, told that a restart cut it off, asks for that restart once more, and then says what it heard. */
const insists = ({ results, said }: Pick<Asked, "results" | "said">): Plan | undefined => {
  if (!said.some((text) => text.includes("cut off (restart)"))) return undefined
  return results.length > 0 ? { _tag: "Say", text: `it said ${results.join()}` } : planOf({ text: restart, results }, 0)
}

/** The n-th request of a conversation in which this was said last. */
const request = ({ anthropic, openai }: World, kind: Kind, text: string, nth: number) =>
  until(
    `the model of ${kind} is asked ${nth} times`,
    Effect.sync(() =>
      kind === "model"
        ? openai.asked.filter((asked) => asked.text.endsWith(text))
        : anthropic.asked.filter((asked) => asked.text === text && asked.body.stream === true)
    ),
    (found) => found.length >= nth
  ).pipe(Effect.map((found) => found[nth - 1] ?? assert.fail("it is there")))

/** Has each begin with something that does not end by itself; completes when all are at work. */
const atWork = Effect.fnUntraced(function* (all: World, gateway: Running, talks: ReadonlyMap<Kind, Talk>, by: string) {
  yield* each([...talks.keys()], (kind) =>
    Effect.gen(function* () {
      const say = talks.get(kind)?.say ?? assert.fail()
      switch (kind) {
        case "demo":
          yield* say("tool 5m deploy")
          return yield* showing(gateway, kind, /"tool":"deploy"/)
        case "command":
          yield* say("hang")
          return yield* showing(gateway, kind, /"responding"/)
        case "acp":
          yield* say("deploy")
          return yield* showing(gateway, kind, /"tool":"deploy"/)
        default:
          yield* say(`hold ${by} ${kind}`)
          return yield* request(all, kind, `hold ${by} ${kind}`, 1)
      }
    })
  )
})

/** What each says of it in the next boot. Models that hold are asked again, and say so. */
const carriedOn = Effect.fnUntraced(function* (all: World, kind: Kind, talking: Talk, by: string) {
  if (kind === "model" || kind === "claude-acp") {
    const again = yield* request(all, kind, `hold ${by} ${kind}`, 2)
    if (kind === "claude-acp") assert.include(again.said.join(), `[An earlier attempt at this was cut off (${by}).`)
    again.finish(`carried on after the ${by}`)
  }
  const answers: Readonly<Record<Kind, RegExp>> = {
    demo: /^I was cut off while running deploy and can't tell whether it went through/,
    command: new RegExp(`^cut off by ${by}: hang$`),
    acp: new RegExp(`cut off \\(${by}\\) while .*deploy.* was running, and nobody knows`),
    model: new RegExp(`^carried on after the ${by}$`),
    "claude-acp": new RegExp(`^carried on after the ${by}$`),
    "claude-code": by === "crash" ? /completed|no output/ : /cut off\. Carry on/
  }
  const heard = yield* talking.hears(answers[kind])
  assert.lengthOf(heard, 1, heard.join("\n"))
})

describe(`turns that are cut off ${kinds.length < 6 ? `but the real ones ${missing}` : ""}`, () => {
  it.live(
    "D3, D13, D17, D18, Q16, S3, S10: by a death, a stop and a restart, each is carried on once as its kind can, and what waits follows in order",
    () =>
      Effect.gen(function* () {
        const all = yield* world({}, { answer: insists })
        const drain = { environment: { SLUICE_DRAIN_TIMEOUT: "2s", SLUICE_DRAIN_START_WITHIN: "0ms" } }
        let gateway = yield* all.boot({ ...drain, permissions: "allow" })
        const talks = new Map<Kind, Talk>()
        yield* each(kinds, (kind) =>
          Effect.map(
            begun(() => gateway, kind),
            (talking) => talks.set(kind, talking)
          )
        )
        const to = (kind: Kind) => talks.get(kind) ?? assert.fail(kind)

        // The death: a tool of the CLI's kills the gateway, where there is one.
        const [begins, gate] = [join(all.folder, "begins"), join(all.folder, "gate")]
        const real = talks.has("claude-code")
        const kill = bash(`touch '${begins}'; until [ -e '${gate}' ]; do sleep 0.05; done; kill -9 ${gateway.pid}`)
        if (real) yield* to("claude-code").say(kill)
        yield* atWork(all, gateway, new Map([...talks].filter(([kind]) => kind !== "claude-code")), "crash")
        yield* until(
          "the CLI's tool runs",
          Effect.sync(() => !real || existsSync(begins)),
          (is) => is
        )
        for (const text of ["two", "three"]) yield* each(kinds, (kind) => to(kind).say(text))
        writeFileSync(gate, "")
        if (!real) yield* gateway.signal("SIGKILL")
        assert.strictEqual((yield* gateway.exited).signal, "SIGKILL")
        gateway = yield* all.boot({ ...drain, permissions: "allow" })
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).say("four")
            yield* carriedOn(all, kind, to(kind), "crash")
            for (const text of ["two", "three", "four"]) {
              assert.deepStrictEqual(yield* to(kind).hears(new RegExp(`^${text}$`)), [text])
            }
          })
        )
        // What the process that outlived its gateway had done was not done, nor paid for, again.
        assert.lengthOf(
          all.anthropic.asked.filter(({ text }) => text === kill),
          real ? 2 : 0
        )

        // The stop.
        yield* atWork(all, gateway, talks, "stop")
        yield* gateway.signal("SIGTERM")
        const exit = yield* gateway.exited
        assert.strictEqual(exit.code, 80, gateway.output().out.slice(-10).join("\n"))
        // Named, each with what came of it; on a machine that is busy some need to be killed.
        const { sessions } = reportIn(gateway)
        assert.sameMembers(
          sessions.map(({ key }) => key),
          kinds.map((kind) => `http/${kind}#w`)
        )
        for (const { outcome } of sessions) assert.match(outcome, /^(interrupted|killed)$/)
        gateway = yield* all.boot({ ...drain, permissions: "allow" })
        yield* each(kinds, (kind) => carriedOn(all, kind, to(kind), "stop"))
        if (!real) return
        // The question is in its conversation once, however often the turn was begun.
        const carried = all.anthropic.asked.findLast(({ text }) => /cut off\. Carry on/.test(text))?.said ?? []
        assert.lengthOf(
          carried.filter((text) => text.trim() === "hold stop claude-code"),
          1
        )

        // The restart, from a turn of the CLI's; carried on, it asks again, and hears what came of it instead of a loop.
        const { epoch } = gateway.facts
        yield* to("claude-code").say(restart)
        gateway = yield* running(gateway, gateway.facts.epoch)
        const heard = yield* to("claude-code").hears(/^it said/)
        assert.match(heard.join(), /^it said .*restart/)
        const said = all.anthropic.asked.at(-1)?.said ?? []
        assert.match(
          said.join("\n"),
          /cut off \(restart\) while "Bash: .*" was running, and nobody knows how that ended/
        )
        assert.lengthOf(
          said.filter((text) => text === restart),
          1
        )
        // An agent that rests may need to be killed on a machine that is busy, and is named then, too.
        assert.deepStrictEqual(
          reportIn(gateway).sessions.flatMap(({ key, outcome }) => (outcome === "killed" ? [] : [`${key} ${outcome}`])),
          ["http/claude-code#w asked"]
        )
        const { body } = yield* gateway.client.call("/v1/audit")
        assert.strictEqual(gateway.facts.epoch, epoch + 1)
        assert.deepInclude(body, { open: 0, balanced: true })
      }).pipe(Effect.scoped),
    longest
  )

  for (const kind of ["acp", "command"] as const) {
    it.live(
      `D13: a turn of kind ${kind} that kills its gateway is set aside at its third time, and a long one beside it is answered`,
      () =>
        Effect.gen(function* () {
          const all = yield* world()
          let gateway = yield* all.boot()
          const innocent = yield* begun(() => gateway, "model", "innocent")
          const guilty = yield* begun(() => gateway, kind, "guilty")
          yield* innocent.say("hold on")
          yield* request(all, "model", "hold on", 1)
          yield* guilty.say("murder")
          let told = false
          let deaths = 0
          // After the second death its model has had the time that it needs, whenever it is asked again.
          const patience = Effect.sync(() => {
            if (deaths > 1) all.openai.asked.slice(answered).forEach(({ finish }) => finish("patience"))
            answered = all.openai.asked.length
          })
          let answered = 0
          yield* Effect.forkScoped(Effect.repeat(patience, Schedule.spaced("10 millis")))
          for (let process: Process = gateway; !told;) {
            assert.isBelow(deaths, 4)
            assert.strictEqual((yield* process.exited).signal, "SIGKILL")
            deaths++
            process = yield* launch({ folder: all.folder })
            // It may die before it says that it is ready.
            const ready = yield* Effect.exit(running(process))
            if (ready._tag === "Failure") continue
            gateway = ready.value
            yield* Effect.ignore(gateway.client.call("/v1/admin/resume", { method: "POST" }))
            told = yield* Effect.raceFirst(
              Effect.as(guilty.hears(/^I broke down 3 times while working on "murder"/), true),
              Effect.as(process.exited, false)
            )
          }
          assert.strictEqual(deaths, 3)
          assert.deepStrictEqual(yield* innocent.hears(/^patience$/), ["patience"])
          yield* guilty.say("next")
          yield* guilty.hears(/^next$/)
        }).pipe(Effect.scoped),
      longest
    )
  }
})
