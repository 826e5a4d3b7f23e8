/**
 * Any program as an agent: one process for each turn, the turn as a line of JSON
 * on its standard input, what it prints is the answer, exit code 0 says that the
 * answer is whole. Whatever the program does instead (prints without end, never
 * reads, leaves children behind, ignores signals), the turn's end is bounded and
 * so is the memory. The protocol is in docs/agents.md.
 */
import * as Agent from "@sluice/runtime/Agent"
import { Attachment, type Turn } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Children from "./Children.ts"
import { environmentProblem } from "./internal/environment.ts"
import { niceProblem } from "./internal/node/priority.ts"

/** A command agent. */
export interface Options {
  /** The program and its arguments. It is started as it stands, without a shell. */
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  /** Working folder; the gateway's own by default. */
  readonly cwd?: string
  /** What the program is given beyond `Children.allowed`. */
  readonly env?: Children.Environment
  /** What is done with a turn that was cut off; it runs again by default. */
  readonly resume?: Agent.ResumePolicy
  /** A turn that takes longer has failed; none by default. */
  readonly turnTimeout?: Duration.Input
  /** A turn that prints nothing for this long, on either stream, has failed; none by default. */
  readonly stallTimeout?: Duration.Input
  /** The longest answer in bytes, 1 MiB by default. There it is cut, says so, and the program is stopped. */
  readonly maxAnswer?: number
  /** What stands at the end of an answer that was cut. */
  readonly cutMark?: string
  /** How many bytes of standard error are kept for the log; 8 KiB by default. */
  readonly stderrTail?: number
  /** How far its priority is below the gateway's, 0 to 19; 5 by default. */
  readonly nice?: number
  /** The waits of the stop ladder. */
  readonly grace?: Partial<Children.Grace>
}

const DocumentMessage = Schema.Struct({
  seq: Schema.Int,
  id: Schema.String,
  sender: Schema.String,
  text: Schema.String,
  attachments: Schema.Array(Schema.Struct(Attachment.fields)),
  /** Milliseconds since 1970. */
  acceptedAt: Schema.Int
})

/** What the program reads: one line of JSON, then the end of input. Every key is always there; what does not apply is null. */
export const Document = Schema.Struct({
  /** For example `http/kim` or `http/kim#work`. */
  session: Schema.String,
  conversation: Schema.String,
  turn: Schema.String,
  /** 1 at the first run. */
  attempt: Schema.Int,
  /** Why the attempt before this one did not end, and the tool whose outcome is unknown. */
  interrupted: Schema.NullOr(Schema.Struct({ by: Schema.String, tool: Schema.NullOr(Schema.String) })),
  messages: Schema.Array(DocumentMessage),
  /** The messages' texts joined by line feeds. */
  text: Schema.String,
  systemPrompt: Schema.NullOr(Schema.String),
  /** Messages that were dropped since the last turn: how many, and a line of each. */
  summary: Schema.NullOr(Schema.Struct({ count: Schema.Int, lines: Schema.Array(Schema.String) })),
  /** Messages of the turn that this one cut off. */
  context: Schema.Array(DocumentMessage)
})

const encode = Schema.encodeSync(Schema.fromJsonString(Document))

const documentOf = (session: Agent.AgentSession, turn: Turn): string =>
  `${encode({
    session: turn.session,
    conversation: turn.conversation,
    turn: turn.id,
    attempt: turn.attempt,
    interrupted:
      turn.interrupted === undefined ? null : { by: turn.interrupted.by, tool: turn.interrupted.tool ?? null },
    messages: turn.messages,
    text: turn.text,
    systemPrompt: session.systemPrompt ?? null,
    summary: turn.summary ?? null,
    context: turn.context ?? []
  })}\n`

/** The program ran and did not end with code 0. `stderr` is the end of what it said there. */
export class ProgramFailed extends Schema.TaggedError<ProgramFailed>()("ProgramFailed", {
  program: Schema.String,
  code: Schema.optionalKey(Schema.Int),
  signal: Schema.optionalKey(Schema.String),
  stderr: Schema.String
}) {
  override get message() {
    const how = this.code === undefined ? `was ended by ${this.signal ?? "a signal"}` : `ended with code ${this.code}`
    return `program "${this.program}" ${how}${this.stderr === "" ? ", it said nothing on standard error" : `: ${this.stderr}`}`
  }
}

const failed = (cause: unknown) => new Agent.AgentError({ reason: "Failed", cause })

const lengthWithoutEnd = (text: string): number => {
  let length = text.length
  while (length > 0 && (text[length - 1] === "\n" || text[length - 1] === "\r")) length--
  return length
}

/** Bytes in, text out: over chunk borders, up to the cap, without the line feeds at the very end. */
const decoder = (maxAnswer: number) => {
  const utf8 = new TextDecoder()
  let room = maxAnswer
  let held = ""
  return {
    /** The text that can be shown; `over` says that there was more than the cap. */
    add: (chunk: Uint8Array): { readonly text: string; readonly over: boolean } => {
      const taken = chunk.subarray(0, room)
      room -= taken.length
      const text = held + utf8.decode(taken, { stream: true })
      const length = lengthWithoutEnd(text)
      held = text.slice(length)
      return { text: text.slice(0, length), over: taken.length < chunk.length }
    },
    /** A character that was begun and never ended becomes U+FFFD. */
    end: (): string => {
      const rest = utf8.decode()
      return rest === "" ? "" : held + rest
    }
  }
}

/** After the program's end its output may be held open by what it left behind: how long that may say nothing, in two beats. */
const quietBeat = 250
/** And how long it may go on writing, in milliseconds of waiting for it. */
const lingerLimit = 2000

/** Reads what is still on its way after the program's end. Two beats, because after a pause of the gateway a timer is served before the pipe. */
const readLate = Effect.fnUntraced(function* (child: Children.Child, waited: { millis: number }) {
  for (let beat = 0; beat < 2 && waited.millis < lingerLimit; beat++) {
    const clock = yield* Clock.Clock
    const began = clock.monotonicTimeNanosUnsafe()
    const piece = yield* Effect.timeoutOption(child.read, quietBeat)
    // What is beyond a beat is a pause of the gateway itself, in which nobody listened: it is not held against the program.
    waited.millis += Math.min(quietBeat, Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6)
    if (Option.isSome(piece)) return piece.value
  }
  return { _tag: "End" } as const
})

const alive: Agent.AgentEvent = { _tag: "Alive" }

type Last = Effect.Effect<Agent.AgentEvent | undefined, Agent.AgentError>

/** What the program does, as events; the end of the stream is the end of the program and of all it started. */
const eventsOf = (child: Children.Child, options: Options): Stream.Stream<Agent.AgentEvent, Agent.AgentError> => {
  const answer = decoder(options.maxAnswer ?? 1_048_576)
  const waited = { millis: 0 }
  let phase: "running" | "exited" | "done" = "running"
  /** The ladder under what is left of the program, and what is told when nothing is. */
  let leaving: { readonly gone: Fiber.Fiber<void>; readonly last: Last } | undefined

  const leave = (last: Last) =>
    Effect.map(Effect.forkChild(child.stop), (gone) => {
      leaving = { gone, last }
    })

  const last = (status: Children.Status): Last =>
    Effect.gen(function* () {
      const stderr = yield* child.errors
      if (status.code !== 0) {
        return yield* failed(
          new ProgramFailed({
            program: options.argv[0],
            stderr: stderr.trim(),
            ...(status.code === undefined ? {} : { code: status.code }),
            ...(status.signal === undefined ? {} : { signal: status.signal })
          })
        )
      }
      if (stderr !== "") yield* Effect.logDebug(`standard error of "${options.argv[0]}"`, stderr)
      const rest = answer.end()
      return rest === "" ? undefined : Agent.text(rest)
    })

  const next = Effect.fnUntraced(function* () {
    while (phase !== "done") {
      if (leaving !== undefined) {
        // An answer that is there must not be lost to a stall because what the program left behind takes its time.
        if (Option.isNone(yield* Effect.timeoutOption(Fiber.join(leaving.gone), quietBeat))) return alive
        phase = "done"
        return yield* leaving.last
      }
      const piece = yield* phase === "exited" ? readLate(child, waited) : child.read
      if (piece._tag === "End") {
        yield* leave(last(yield* child.exited))
        continue
      }
      if (piece._tag === "Exited") {
        phase = "exited"
        continue
      }
      if (piece._tag === "Alive") return alive
      const { text, over } = answer.add(piece.bytes)
      if (!over) return text === "" ? alive : Agent.text(text)
      yield* Effect.logWarning(`the answer of "${options.argv[0]}" was cut at its limit and the program was stopped`)
      yield* leave(Effect.succeed(Agent.text(text + (options.cutMark ?? defaultCutMark))))
    }
    return undefined
  })
  return Stream.unfold(undefined, () =>
    Effect.map(next(), (event) => (event === undefined ? undefined : ([event, undefined] as const)))
  )
}

/** What stands at the end of an answer that was cut, unless said otherwise. */
export const defaultCutMark = "\n[This answer was longer than I can pass on. It ends here.]"

/** What is wrong with the options, with its remedy; `undefined` when nothing is. Looks at nothing outside of them. */
export const invalid = (options: Options): string | undefined => {
  const [program] = options.argv
  if (program === undefined || program === "") return "argv: is empty; name a program"
  if (options.argv.some((word) => word.includes("\0"))) return "argv: holds a NUL character; remove it"
  for (const name of ["maxAnswer", "stderrTail"] as const) {
    const value = options[name]
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1)) {
      return `${name} ${value}: is not a number of bytes; give a whole number above 0`
    }
  }
  return niceProblem(options.nice) ?? environmentProblem(options.env ?? {})
}

/**
 * Makes a command agent. Throws when the options are {@link invalid}; whether the
 * program exists is seen at its first turn, or by `Children.check`.
 */
export const make = (options: Options): Agent.Agent => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  const { argv, cwd, env, nice, stderrTail } = options
  const program: Children.Program = {
    argv,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
    ...(nice === undefined ? {} : { nice }),
    ...(stderrTail === undefined ? {} : { stderrTail })
  }
  return Agent.make({
    ...(options.resume === undefined ? {} : { resume: options.resume }),
    ...(options.turnTimeout === undefined ? {} : { turnTimeout: options.turnTimeout }),
    ...(options.stallTimeout === undefined ? {} : { stallTimeout: options.stallTimeout }),
    // Nobody reads what an orphan prints: its answer is lost whether or not it ends by itself.
    orphan: "reap",
    orphans: Children.orphans,
    open: Effect.fnUntraced(function* (session) {
      const room = yield* Children.room(session, options.grace === undefined ? {} : { grace: options.grace })
      const run = Effect.fnUntraced(function* (turn: Turn) {
        const document = documentOf(session, turn)
        const child = yield* Effect.mapError(room.start({ ...program, turn: turn.id }), failed)
        yield* child.write(document)
        return eventsOf(child, options)
      })
      return { answer: (turn) => Stream.unwrap(run(turn)) }
    })
  })
}
