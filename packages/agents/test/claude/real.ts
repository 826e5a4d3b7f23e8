// The real CLI against the stand-in of its API, in folders of its own that go with the test.
import * as Agent from "@sluice/runtime/Agent"
import { type Keeping, sessionOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as ClaudeCode from "../../src/ClaudeCode.ts"
import { known } from "../../src/internal/claude/transcript.ts"
import { claude } from "../installed.ts"
import { folder, unique } from "../processes.ts"
import { standIn } from "../standIn/anthropic.ts"

/** What an agent under test works with. */
export interface Place {
  /** Where the CLI keeps its conversations. */
  readonly config: string
  /** Where it works. */
  readonly work: string
  readonly url: string
}

/** Options that point the CLI at a stand-in. */
export const optionsFor = (place: Place, more: Partial<ClaudeCode.Options> = {}): ClaudeCode.Options => ({
  argv: [claude ?? "claude"],
  cwd: place.work,
  configFolder: place.config,
  retries: 0,
  ...more,
  env: {
    set: { HOME: place.config, ANTHROPIC_BASE_URL: place.url, ANTHROPIC_API_KEY: "sk-ant-stand-in", ...more.env?.set }
  }
})

/** A stand-in, folders, and a session that is kept: opened again it is the same one. */
export const place = Effect.gen(function* () {
  const model = yield* standIn()
  const root = yield* folder
  const made: Place = { config: join(root, "config"), work: join(root, "work"), url: model.url }
  mkdirSync(made.work)
  const keeping: Keeping = {}
  const instance = unique("claude")
  const open = (more: Partial<ClaudeCode.Options> = {}, session: Partial<Parameters<typeof sessionOf>[0]> = {}) =>
    ClaudeCode.make(optionsFor(made, more)).open(sessionOf({ instance, keeping, ...session }))
  const { forget } = ClaudeCode.make(optionsFor(made))
  if (forget === undefined) return yield* Effect.die(new Error("the agent does not forget"))
  /** Completes when the transcript has what was handed to the last turn, under the ids that were kept of it. */
  const untilKnown = until(() => {
    const kept = JSON.parse(keeping.value ?? "{}")
    const uuids: ReadonlyArray<string> = kept.turn.handed.map(({ uuid }: { readonly uuid: string }) => uuid)
    const path = readdirSync(join(made.config, "projects"), { recursive: true, encoding: "utf8" }).find((name) =>
      name.endsWith(`${kept.conversation}.jsonl`)
    )
    if (path === undefined) return false
    const lines = readFileSync(join(made.config, "projects", path), "utf8").split("\n")
    return uuids.length > 0 && known(lines, uuids).size === uuids.length
  })
  return { ...made, model, open, forget, keeping, instance, untilKnown }
})

type Told = Agent.AgentEvent | "end" | Agent.AgentError

/** Reads an answer in the background: its events, one after the other, and its end. */
export const reading = Effect.fnUntraced(function* (answer: Stream.Stream<Agent.AgentEvent, Agent.AgentError>) {
  const events = yield* Queue.unbounded<Told>()
  const fiber = yield* answer.pipe(
    Stream.filter((event) => event._tag !== "Alive"),
    Stream.runForEach((event) => Queue.offer(events, event)),
    Effect.matchEffect({
      onFailure: (error) => Queue.offer(events, error),
      onSuccess: () => Queue.offer(events, "end")
    }),
    Effect.forkChild({ startImmediately: true })
  )
  const next = Queue.take(events)
  const until = Effect.fnUntraced(function* (fits: (told: Told) => boolean) {
    while (true) {
      const told = yield* next
      if (fits(told)) return told
      if (told === "end" || told instanceof Agent.AgentError)
        return yield* Effect.die(new Error(`ended: ${String(told)}`))
    }
  })
  return { next, until, stop: Fiber.interrupt(fiber) }
})

export { answerText as answerOf } from "@sluice/runtime/testing/agentConformance"

/** Waits until something is so that nothing tells of: a file of another program's. */
export const until = (fact: () => boolean): Effect.Effect<void> =>
  Effect.sync(fact).pipe(Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("10 millis") }), Effect.asVoid)
