// What people do with a session and what time does to it, with each kind of agent behind one real gateway whose clock
// can be put forward: suspension, resumption, stops, questions, models, forgetting. The real Claude Code CLI and the real
// ACP adapter are among them where they are installed.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll } from "vitest"
import { missing } from "../../../../packages/agents/test/installed.ts"
import { type Running, until } from "../harness.ts"
import {
  begun,
  descendants,
  each,
  everything,
  type Kind,
  kinds,
  showing,
  type Talk,
  warm,
  world,
  type World
} from "../kinds.ts"

/** Milliseconds, for a machine that is busy. */
const longest = 300_000

const program = fileURLToPath(new URL("../programs/later.ts", import.meta.url))

const scope = Scope.makeUnsafe()
let all: World
let gateway: Running
const current = () => gateway

beforeAll(async () => {
  const made = Effect.gen(function* () {
    all = yield* world({ questions: { expireAfter: "14 minutes" }, turns: { backoff: ["50 millis"], limit: 4 } })
    gateway = yield* all.boot({ program })
  })
  await Effect.runPromise(Scope.provide(made, scope))
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** A quarter of an hour passes. */
const quarter = Effect.suspend(() => gateway.signal("SIGWINCH"))

const rest = until(
  "no process is left",
  Effect.sync(() => descendants(gateway.pid)),
  (pids) => pids.length === 0
)

/** Lines of progress of a conversation from now on. */
const lines = (conversation: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const end = new AbortController()
      const response = await fetch(`${gateway.url}/v1/conversations/${conversation}/events?after=latest`, {
        headers: { authorization: `Bearer ${gateway.token}` },
        signal: end.signal
      })
      let text = ""
      const reading = (async () => {
        for await (const chunk of response.body ?? []) text += new TextDecoder().decode(chunk)
      })().catch(() => undefined)
      const found = () =>
        [...text.matchAll(/^event: line\ndata: (.*)$/gm)].map(([, data = "{}"]) => JSON.parse(data).text)
      return { found, end: () => (end.abort(), reading) }
    }),
    ({ end }) => Effect.promise(end)
  )

/** What each is told so that it asks whether it may do something. */
const asking = (kind: Kind, file: string): string => {
  switch (kind) {
    case "demo":
      return "ask shall I?"
    case "acp":
      return "may shall I?"
    case "claude-code":
      return `tool Bash ${JSON.stringify({ command: `echo done > '${file}'` })}`
    default:
      return `tool Write ${JSON.stringify({ file_path: file, content: "done" })}`
  }
}

/** What comes of it when it may, and when nobody says. */
const done: Readonly<Partial<Record<Kind, RegExp>>> = {
  demo: /shall I\? yes/,
  acp: /^chosen: yes$/,
  "claude-code": /completed|no output/,
  "claude-acp": /created successfully/
}
const undone: Readonly<Partial<Record<Kind, RegExp>>> = {
  demo: /shall I\? \(nobody answered\)/,
  acp: /^nobody decided$/,
  "claude-code": /Nobody answered, so this is not allowed/,
  "claude-acp": /Tool use aborted/
}

/** The request of the conversation itself; the CLI asks for titles and the like too. */
const heldBy = (text: string) => all.anthropic.askOf((asked) => asked.text === text && asked.body.stream === true)

const isModel = (kind: Kind) => kind === "model" || kind.startsWith("claude")

/** Kinds that ask people. */
const askers = kinds.filter((kind) => kind !== "command" && kind !== "model")

/** The question, once it is there, and the words of its options. */
const question = Effect.fnUntraced(function* (talking: Talk) {
  const [text = ""] = yield* talking.hears(/^\(\/allow \d+ and your choice\)$/m)
  return { text, options: [...text.matchAll(/^\d+\. (.*)$/gm)].map(([, option = ""]) => option) }
})

const neverKilled = () => {
  const log = gateway.output().out.join("\n")
  assert.notInclude(log, "had to be killed")
  assert.notInclude(log, "did not stop within")
}

describe(`sessions of every kind of agent ${kinds.length < 6 ? `but the real ones ${missing}` : ""}`, () => {
  const talks = new Map<Kind, Talk>()
  const to = (kind: Kind) => talks.get(kind) ?? assert.fail(`there is no talk with ${kind}`)

  it.live(
    "Q10, Q12: idle for its timeout, each lets go of its process silently, and the next message finds all that was said",
    () =>
      Effect.gen(function* () {
        yield* each(kinds, (kind) => Effect.map(begun(current, kind), (talking) => talks.set(kind, talking)))
        assert.isAtLeast(descendants(gateway.pid).length, warm.length)
        yield* quarter
        yield* rest
        neverKilled()
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            const said = yield* lines(kind)
            assert.deepStrictEqual(yield* talking.untaken, [])
            yield* talking.say(kind === "acp" ? "history" : "second")
            yield* talking.hears(kind === "acp" ? /^\["first"\]$/ : /^second$/)
            const told = yield* until(
              `${kind} is told that it is resumed`,
              Effect.sync(said.found),
              (found) => found.length > 0
            )
            assert.deepStrictEqual(told, ["Resuming session (idle for 15 min)..."])
          })
        )
        const { said } = yield* all.openai.ask(2)
        assert.deepStrictEqual(said, ["first", "second"])
        const real = all.anthropic.asked.filter(({ text }) => text === "second")
        assert.lengthOf(real, warm.length - 1)
        for (const asked of real) assert.include(asked.said, "first")
      }).pipe(Effect.scoped),
    longest
  )

  it.live(
    "Q7, Q20: stopped in mid-turn, each is told by its own means, says nothing too late, and answers the next message",
    () =>
      Effect.gen(function* () {
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            const text = isModel(kind) ? `hold ${kind}` : "hang"
            yield* talking.say(text)
            const held = kind === "model" ? yield* all.openai.ask(3) : isModel(kind) ? yield* heldBy(text) : undefined
            held?.delta("I begin")
            yield* showing(gateway, kind, kind === "demo" ? /"processing"/ : /"responding"/)
            yield* talking.say("/stop")
            yield* talking.hears(/^Stopped\.$/)
            if (held !== undefined) assert.strictEqual(yield* held.over, "left")
            held?.delta("too late")
            yield* talking.say("next")
            assert.deepStrictEqual(yield* talking.hears(/next/), ["next"])
          })
        )
        neverKilled()
      }),
    longest
  )

  it.live(
    "Q19, Q23: a question of each is put to its person and holds no place, so others are answered; then it does what was chosen",
    () =>
      Effect.gen(function* () {
        const file = (kind: Kind) => join(all.folder, "work", `allowed-${kind}`)
        const answers = new Map<Kind, string>()
        yield* each(askers, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).say(asking(kind, file(kind)))
            const { options } = yield* question(to(kind))
            answers.set(kind, options.find((option) => /^(allow|yes)\b/i.test(option)) ?? assert.fail(String(options)))
          })
        )
        for (const kind of ["command", "model"] as const) {
          yield* to(kind).say("meanwhile")
          yield* to(kind).hears(/^meanwhile$/)
        }
        yield* each(askers, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).say(answers.get(kind) ?? "")
            yield* to(kind).hears(done[kind] ?? /$^/)
            if (kind.startsWith("claude")) assert.isTrue(existsSync(file(kind)))
          })
        )
      }),
    longest
  )

  it.live(
    "Q19: a question of each that nobody answers is over in time, its person hears so, and the turn goes on without it",
    () =>
      Effect.gen(function* () {
        const file = (kind: Kind) => join(all.folder, "work", `unanswered-${kind}`)
        yield* each(askers, (kind) => Effect.andThen(to(kind).say(asking(kind, file(kind))), question(to(kind))))
        yield* quarter
        yield* each(askers, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).hears(/^Nobody answered ".*" in time, so I went on without it\.$/s)
            yield* to(kind).hears(undone[kind] ?? /$^/)
            assert.isFalse(existsSync(file(kind)))
            yield* to(kind).say("next")
            yield* to(kind).hears(/^next$/)
          })
        )
      }),
    longest
  )

  it.live(
    "Q6: in mode `interrupt` a message cuts the running turn of each off and is answered in its place",
    () =>
      Effect.gen(function* () {
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            yield* talking.say("/queue interrupt")
            yield* talking.hears(/"interrupt"/)
            const text = isModel(kind) ? `hold and ${kind}` : "hang"
            yield* talking.say(text)
            if (kind.startsWith("claude")) yield* heldBy(text)
            yield* showing(gateway, kind, kind === "demo" || isModel(kind) ? /"processing"/ : /"responding"/)
            yield* talking.say("rather this")
            // One answer: nothing of what was cut off comes before it.
            assert.lengthOf(yield* talking.hears(/rather this$/), 1)
            yield* talking.say("/queue followup")
            yield* talking.hears(/"followup"/)
          })
        )
        neverKilled()
      }),
    longest
  )

  it.live(
    "Q6: in mode `steer` the running turn of an agent that can takes the message over, and one answer is for both",
    () =>
      Effect.gen(function* () {
        const talking = to("acp")
        yield* talking.say("/queue steer")
        yield* talking.hears(/"steer"/)
        yield* talking.say("work")
        yield* showing(gateway, "acp", /"responding"/)
        yield* talking.say("enough")
        assert.deepStrictEqual(yield* talking.hears(/enough$/), ["working done: enough"])
      }),
    longest
  )

  it.live(
    "Q21: /verbose shows the tools of each with its answer, /default the answer alone",
    () =>
      Effect.gen(function* () {
        const file = join(all.folder, "work", "note.txt")
        writeFileSync(file, "a note")
        const read = `tool Read ${JSON.stringify({ file_path: file })}`
        const tools: Readonly<Partial<Record<Kind, readonly [use: string, shown: RegExp]>>> = {
          demo: ["tool 1ms deploy", /^\[deploy\]\n/],
          acp: ["tools", /^I look\.\n\[Read a\.txt\]\n.*\[make\]\nDone\.$/s],
          "claude-code": [read, /^\[Read: .*note\.txt\]\n/],
          "claude-acp": [read, /^\[Read File\]\n/]
        }
        yield* each(askers, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            const [use, shown] = tools[kind] ?? assert.fail(`${kind} has no tool`)
            for (const mode of ["verbose", "default"]) {
              yield* talking.say(`/${mode}`)
              yield* talking.hears(/^From now on you see/)
              yield* talking.say(use)
              const [answer = ""] = yield* talking.hears(/./)
              if (mode === "verbose") assert.match(answer, shown)
              else assert.notInclude(answer, "[")
            }
          })
        )
      }),
    longest
  )

  it.live(
    "Q13, Q14: /timeout takes 1 to 120 minutes and holds at once; /sessions says who is suspended and who is not",
    () =>
      Effect.gen(function* () {
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            for (const wrong of ["0", "121", "soon"]) {
              yield* talking.say(`/timeout ${wrong}`)
              yield* talking.hears(new RegExp(`^"${wrong}" is not possible here\\. Possible: 1 to 120 minutes`))
            }
            yield* talking.say("/timeout 20")
            yield* talking.hears(/^From now on I let go after 20 minutes/)
          })
        )
        yield* quarter
        yield* each(kinds, (kind) => Effect.andThen(to(kind).say("/sessions"), to(kind).hears(/^\* w, idle/m)))
        assert.isAtLeast(descendants(gateway.pid).length, warm.length)
        yield* each(kinds, (kind) =>
          Effect.andThen(to(kind).say("/timeout 1"), to(kind).hears(/^From now on I let go after 1 minute /))
        )
        yield* rest
        yield* until(
          "all have let go of their agents",
          Effect.orDie(gateway.client.call("/v1/status")),
          ({ body }) => !JSON.stringify(body["live"]).includes("#w")
        )
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).say("/sessions")
            yield* to(kind).hears(new RegExp(`^\\* w, suspended, ${kind}/${kind}, 0 waiting, active 15 min ago$`, "m"))
          })
        )
      }),
    longest
  )

  it.live(
    "Q15: /model holds from the next turn on where there are models, and says so where there are none",
    () =>
      Effect.gen(function* () {
        const models: Readonly<Record<Kind, string>> = {
          demo: "any",
          command: "any",
          acp: "large-1",
          model: "another",
          "claude-code": "claude-haiku-4-5",
          "claude-acp": "haiku"
        }
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            const talking = to(kind)
            yield* talking.say(`/model ${models[kind]}`)
            if (kind === "demo" || kind === "command") {
              yield* talking.hears(/has no models to choose from/)
              return
            }
            yield* talking.hears(/^From now on the model is/)
            yield* talking.say(kind === "acp" ? "whoami" : "which one?")
            const [answer] = yield* talking.hears(/./)
            if (kind === "acp") assert.include(answer, '"model":"large-1"')
          })
        )
        assert.strictEqual(all.openai.asked.at(-1)?.body.model, "another")
        const real = all.anthropic.asked.filter(({ text }) => text === "which one?")
        assert.lengthOf(real, warm.length - 1)
        for (const { body } of real) assert.include(body.model, "haiku")
      }),
    longest
  )

  it.live(
    "Q27: /forget yes leaves nothing of what was said in the gateway's files and in those of its agents",
    () =>
      Effect.gen(function* () {
        yield* each(kinds, (kind) =>
          Effect.gen(function* () {
            yield* to(kind).say("Geheimnis")
            yield* to(kind).hears(/^Geheimnis$/)
          })
        )
        for (const kind of warm) assert.include(everything(all.folder), "Geheimnis", kind)
        yield* each(kinds, (kind) =>
          Effect.andThen(to(kind).say("/forget yes"), to(kind).hears(/^Everything that was said here is deleted/))
        )
        yield* until(
          "nothing is left of it",
          Effect.sync(() => everything(all.folder)),
          (text) => !text.includes("Geheimnis")
        )
        const { body } = yield* gateway.client.call("/v1/audit")
        assert.deepInclude(body, { open: 0, balanced: true })
      }),
    longest
  )
})
