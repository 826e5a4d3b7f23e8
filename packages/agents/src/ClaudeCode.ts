/**
 * The Claude Code CLI as an agent: a process for each live session, kept warm
 * between turns, one turn in flight. The conversation's id is kept with the
 * session before it is first used; what a crash left behind is read from the
 * CLI's own transcript, so an answer that was given is delivered and not paid for
 * again, and a process that outlives its gateway may finish its turn. What it
 * means for an agent is in docs/agents.md.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Children from "./Children.ts"
import * as Connection from "./internal/claude/connection.ts"
import * as Conversation from "./internal/claude/conversation.ts"
import type { Policy } from "./internal/claude/permission.ts"
import type { ClaudeError } from "./internal/claude/failure.ts"
import { further } from "./internal/claude/prompt.ts"
import * as Running from "./internal/claude/turn.ts"
import { environmentProblem } from "./internal/environment.ts"
import { goingOn } from "./internal/goingOn.ts"
import { inherited } from "./internal/node/host.ts"
import * as Warm from "./internal/warm.ts"

export { ClaudeError } from "./internal/claude/failure.ts"
export type { Policy } from "./internal/claude/permission.ts"
import { niceProblem } from "./internal/node/priority.ts"

/** The Claude Code CLI. */
export interface Options {
  /** The program, with arguments that come before all others; `claude` on PATH by default. */
  readonly argv?: readonly [string, ...ReadonlyArray<string>]
  /** Its working folder; the gateway's own by default. */
  readonly cwd?: string
  /**
   * Where it keeps its settings, its login and its conversations. One of its own keeps a person's settings out;
   * by default it is the person's (`~/.claude`).
   */
  readonly configFolder?: string
  /** What it is given beyond `Children.allowed`, for example `ANTHROPIC_API_KEY` or `ANTHROPIC_BASE_URL`. */
  readonly env?: Children.Environment
  /** The model, unless a person chose one; the CLI's own by default. */
  readonly model?: string
  /** The CLI's permission mode, for example `acceptEdits` or `plan`; its own by default. */
  readonly permissionMode?: string
  /** Rules of tools that are allowed without asking, for example `Bash(git *)`. */
  readonly allowedTools?: ReadonlyArray<string>
  /** Tools that it does not have, beside those that make no sense here. */
  readonly disallowedTools?: ReadonlyArray<string>
  /** Further arguments, for example `--mcp-config`. */
  readonly extraArguments?: ReadonlyArray<string>
  /** Who decides when it asks for permission; a person by default. */
  readonly permissions?: Policy
  /** How long it may take until it is ready; 60 s by default. */
  readonly initTimeout?: Duration.Input
  /** How often it asks the model's API again before the turn has failed; 3 by default. */
  readonly retries?: number
  /** What is done with a turn that was cut off; it is resumed by default. */
  readonly resume?: Agent.ResumePolicy
  /** How long a process of an earlier boot may take to finish the turn that it works on; 5 min by default. */
  readonly awaitOrphan?: Duration.Input
  /** A running turn in which it says nothing for this long has failed; none by default. */
  readonly stallTimeout?: Duration.Input
  /** A turn that takes longer has failed; none by default. */
  readonly turnTimeout?: Duration.Input
  /** How long it has to stop a turn when it is told to, before its process is ended; 2 s by default. */
  readonly interruptWithin?: Duration.Input
  /** How many bytes of its standard error are kept for the log; 8 KiB by default. */
  readonly stderrTail?: number
  /** How far its priority is below the gateway's, 0 to 19; 5 by default. */
  readonly nice?: number
  /** The waits of the stop ladder; `ask` is how long it may take to end after the end of its input, 2 s by default. */
  readonly grace?: Partial<Children.Grace>
}

/**
 * Tools that reach beyond the turn: into the sessions of other people, or to a
 * time at which the process may be gone.
 */
const beyond = ["ListAgents", "SendMessage", "CronCreate", "CronDelete", "CronList", "ScheduleWakeup"]

/** A conversation lives as long as its session, not for the CLI's 30 days. */
const settings = ["--settings", JSON.stringify({ cleanupPeriodDays: 3650 })] as const

const defaultProgram = ["claude"] as const

const configFolderOf = (options: Options): string =>
  options.configFolder ?? `${inherited(["HOME"])["HOME"] ?? ""}/.claude`

const environmentFor = (options: Options): Children.Environment => ({
  ...options.env,
  set: {
    DISABLE_TELEMETRY: "1",
    DISABLE_ERROR_REPORTING: "1",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    // What runs on in the background ends with the process, unseen.
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
    CLAUDE_CODE_DISABLE_CRON: "1",
    // It is one for the whole working folder: what one person said would be told to another.
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: "1",
    CLAUDE_CODE_MAX_RETRIES: String(options.retries ?? 3),
    ...(options.configFolder === undefined ? {} : { CLAUDE_CONFIG_DIR: options.configFolder }),
    ...options.env?.set
  }
})

const argvFor = (
  session: Agent.AgentSession,
  options: Options,
  conversation: Conversation.Name
): readonly [string, ...ReadonlyArray<string>] => {
  const [program, ...before] = options.argv ?? defaultProgram
  const model = session.model ?? options.model
  const { allowedTools = [], disallowedTools = [], extraArguments = [], permissionMode } = options
  const streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
  return [
    program,
    ...before,
    "-p",
    ...streams,
    "--include-partial-messages",
    "--replay-user-messages",
    "--permission-prompt-tool",
    "stdio",
    ...conversation,
    ...(model === undefined ? [] : ["--model", model]),
    ...(permissionMode === undefined ? [] : ["--permission-mode", permissionMode]),
    ...(session.systemPrompt === undefined ? [] : ["--append-system-prompt", session.systemPrompt]),
    ...(allowedTools.length === 0 ? [] : ["--allowedTools", allowedTools.join(",")]),
    "--disallowedTools",
    [...beyond, ...disallowedTools].join(","),
    ...(extraArguments.includes("--settings") ? [] : settings),
    ...extraArguments
  ]
}

/** A process with its conversation. */
interface Live extends Warm.Live<ClaudeError> {
  readonly connection: Connection.Connection
  /** Ids of the messages that this process was sent. */
  readonly sent: Set<string>
  /** What its turns used that was not told yet. */
  readonly unclaimed: Array<Agent.AgentEvent>
}

/** A CLI that is open for a session: its process, started again when it has ended, and the turn that runs. */
const opened = Effect.fnUntraced(function* (session: Agent.AgentSession, options: Options) {
  const scope = yield* Effect.scope
  const program = (options.argv ?? defaultProgram)[0]
  const conversation = yield* Conversation.open(session, { program, folder: configFolderOf(options) })
  const room = yield* Children.room(session, { grace: { ask: "2 seconds", ...options.grace } })
  // Before any process: it is closed after all of them.
  const readers = yield* Scope.fork(scope)
  const current = Warm.current<Running.Running>()

  const start = Effect.gen(function* () {
    const name = yield* conversation.name
    const own = yield* Scope.fork(scope)
    const end = yield* Effect.cached(Effect.uninterruptible(Scope.close(own, Exit.void)))
    const { nice, stderrTail } = options
    const connection = yield* Connection.start({
      room,
      readers,
      initTimeout: options.initTimeout ?? "60 seconds",
      program: {
        argv: argvFor(session, options, name),
        env: environmentFor(options),
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(nice === undefined ? {} : { nice }),
        ...(stderrTail === undefined ? {} : { stderrTail }),
        ask: (child) => child.endInput
      }
    }).pipe(
      Scope.provide(own),
      Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : end))
    )
    return { connection, end, sent: new Set<string>(), unclaimed: [] } satisfies Live
  })

  const warm = Warm.keep<ClaudeError, Live>({
    session: session.key,
    scope,
    start,
    isBusy: () => current.now() !== undefined
  })

  const answering = Effect.fnUntraced(function* (turn: Turn, one: Live, sending: Conversation.Sending) {
    const { content, uuid } = sending
    yield* conversation.sending(turn, sending)
    yield* Effect.addFinalizer(() => Effect.sync(current.end))
    one.sent.add(uuid)
    const running = yield* Running.run({
      connection: one.connection,
      uuid,
      content,
      permissions: options.permissions ?? "ask",
      interruptWithin: options.interruptWithin ?? "2 seconds",
      answered: conversation.answered,
      handing: (uuid, messages) =>
        conversation.handing(
          uuid,
          messages.map(({ seq }) => seq)
        ),
      unclaimed: one.unclaimed,
      end: warm.end(one)
    })
    current.begin(running)
    return running
  })

  /** One message to the CLI, and then what of the turn it has left open: it goes on with that in another process. */
  const prompted = (turn: Turn, sending: Conversation.Sending): ReturnType<Agent.OpenAgent["answer"]> => {
    let running: Running.Running | undefined
    const round = Warm.beating(warm.ready, (one) =>
      Stream.unwrap(
        Effect.map(answering(turn, one, sending), (begun) => {
          running = begun
          return begun.events
        })
      )
    )
    return goingOn(round, () => {
      const left = running?.further() ?? []
      if (left.length === 0) return undefined
      return Stream.unwrap(
        Effect.map(Conversation.goingOnWith(left, conversation.people), (next) => prompted(turn, next))
      )
    })
  }

  const steer = (messages: ReadonlyArray<TurnMessage>) =>
    Effect.flatMap(further(messages, conversation.people), (content) =>
      current.use((running) => running.steer(messages, content))
    )

  const answer = (turn: Turn) =>
    Stream.unwrap(
      Effect.map(
        conversation.plan(turn, (uuid) => warm.live()?.sent.has(uuid) === true),
        ({ found, send }) => {
          const events = Stream.fromIterable(found)
          if (send === undefined) return Stream.concat(Stream.fromEffectDrain(conversation.answered), events)
          return found.length === 0 ? prompted(turn, send) : goingOn(events, () => prompted(turn, send))
        }
      )
    )
  return { answer, steer }
})

/** What is wrong with the options, with its remedy; `undefined` when nothing is. Looks at nothing outside of them. */
export const invalid = (options: Options): string | undefined => {
  const argv = options.argv ?? defaultProgram
  if (argv[0] === "") return "argv: its program is empty; name a program"
  const words = [...argv, ...(options.extraArguments ?? []), options.model ?? "", options.permissionMode ?? ""]
  if (words.some((word) => word.includes("\0"))) return "argv: holds a NUL character; remove it"
  const { retries, stderrTail } = options
  if (stderrTail !== undefined && (!Number.isSafeInteger(stderrTail) || stderrTail < 1)) {
    return `stderrTail ${stderrTail}: is not a number of bytes; give a whole number above 0`
  }
  if (retries !== undefined && (!Number.isSafeInteger(retries) || retries < 0)) {
    return `retries ${retries}: is not a number of tries; give a whole number`
  }
  return niceProblem(options.nice) ?? environmentProblem(options.env ?? {})
}

/**
 * Makes an agent of the Claude Code CLI. Throws when the options are
 * {@link invalid}; whether the program exists is seen when a session first needs
 * it, or by `Children.check`.
 */
export const make = (options: Options = {}): Agent.Agent => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  return Agent.make({
    resume: options.resume ?? "resume",
    models: "any",
    ...(options.turnTimeout === undefined ? {} : { turnTimeout: options.turnTimeout }),
    ...(options.stallTimeout === undefined ? {} : { stallTimeout: options.stallTimeout }),
    // It hears the end of its input, finishes its turn, and the transcript has the answer.
    orphan: { await: options.awaitOrphan ?? "5 minutes" },
    orphans: Children.orphans,
    forget: (_, kept) => Conversation.forget(configFolderOf(options), kept),
    open: (session) => opened(session, options)
  })
}
