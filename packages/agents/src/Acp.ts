/**
 * Any agent that speaks the Agent Client Protocol: a process for each live
 * session, initialised once and kept warm between turns. The conversation's id is
 * kept with the session, so an agent that was suspended, that died or whose
 * gateway did finds it again; one that can't is never replaced by an empty one
 * unseen. What it means for an agent is in docs/agents.md.
 */
import type { ContentBlock, McpServer } from "@agentclientprotocol/sdk/unstable"
import * as Agent from "@sluice/runtime/Agent"
import type { Turn, TurnMessage } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Children from "./Children.ts"
import * as Connection from "./internal/acp/connection.ts"
import type { Policy } from "./internal/acp/permission.ts"
import { asking } from "./internal/acp/handing.ts"
import { meanwhile, messageBlocks, peopleOf, promptOf } from "./internal/prompt.ts"
import * as Session from "./internal/acp/session.ts"
import * as Running from "./internal/acp/turn.ts"
import { environmentProblem } from "./internal/environment.ts"
import { goingOn } from "./internal/goingOn.ts"
import type { AcpError } from "./internal/acp/failure.ts"
import { failed } from "./internal/failure.ts"
import { absolute } from "./internal/node/host.ts"
import * as Warm from "./internal/warm.ts"

export { AcpError } from "./internal/acp/failure.ts"
export { maxImage } from "./internal/prompt.ts"
export type { Policy } from "./internal/acp/permission.ts"
import { niceProblem } from "./internal/node/priority.ts"

/** An agent that speaks ACP. */
export interface Options {
  /** The program and its arguments, with the one that makes it speak ACP. It is started as it stands, without a shell. */
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  /** Its working folder, which is also the session's; the gateway's own by default. */
  readonly cwd?: string
  /** What the program is given beyond `Children.allowed`. */
  readonly env?: Children.Environment
  /** The mode that its sessions run in, by id or name; the agent's own by default. One that it does not offer fails the turn. */
  readonly mode?: string
  /** The model, by id or name, unless a person chose one; the agent's own by default. */
  readonly model?: string
  /** How long it may take until a session is open, 60 s by default. Some need 10 s. */
  readonly initTimeout?: Duration.Input
  /** The login that it is asked to use, by its id in the protocol; most agents are logged in by hand or by a variable. */
  readonly authMethod?: string
  /** Servers of the Model Context Protocol that it is told to use. */
  readonly mcpServers?: ReadonlyArray<McpServer>
  /** Who decides when it asks for permission; a person by default. */
  readonly permissions?: Policy
  /** What is done with a turn that was cut off; it is resumed by default. */
  readonly resume?: Agent.ResumePolicy
  /** A running turn in which it says nothing for this long has failed; none by default. */
  readonly stallTimeout?: Duration.Input
  /** A turn that takes longer has failed; none by default. */
  readonly turnTimeout?: Duration.Input
  /** How long it has to stop a turn when it is told to, before its process is ended; 2 s by default. */
  readonly cancelWithin?: Duration.Input
  /** How many bytes of its standard error are kept for the log; 8 KiB by default. */
  readonly stderrTail?: number
  /** How far its priority is below the gateway's, 0 to 19; 5 by default. */
  readonly nice?: number
  /** The waits of the stop ladder; `ask` is how long it may take to end after the end of its input, 2 s by default. */
  readonly grace?: Partial<Children.Grace>
}

/** A process with its conversation. */
interface Live extends Warm.Live<AcpError> {
  readonly connection: Connection.Connection
  readonly conversation: Session.Conversation
  readonly scope: Scope.Closeable
}

const programOf = ({ argv, cwd, env, nice, stderrTail }: Options): Children.Program => ({
  argv,
  ...(cwd === undefined ? {} : { cwd }),
  ...(env === undefined ? {} : { env }),
  ...(nice === undefined ? {} : { nice }),
  ...(stderrTail === undefined ? {} : { stderrTail }),
  ask: (child) => child.endInput
})

/** The waits of the ladder; an agent may take a while to end after the end of its input. */
const graceOf = ({ grace }: Options): Partial<Children.Grace> => ({ ask: "2 seconds", ...grace })

/** Starts the process and opens the conversation. */
const connect = Effect.fnUntraced(function* (
  session: Agent.AgentSession,
  options: Options,
  place: { readonly room: Children.Room; readonly scope: Scope.Scope; readonly readers: Scope.Scope }
): Effect.fn.Return<Live, Agent.AgentError> {
  const { mode } = options
  const model = session.model ?? options.model
  const scope = yield* Scope.fork(place.scope)
  const initTimeout = options.initTimeout ?? defaultInitTimeout
  const clock = yield* Clock.Clock
  const began = clock.monotonicTimeNanosUnsafe()
  const end = yield* Effect.cached(Effect.uninterruptible(Scope.close(scope, Exit.void)))
  const opening = Effect.gen(function* () {
    const connection = yield* Connection.start({
      room: place.room,
      readers: place.readers,
      initTimeout,
      authMethod: options.authMethod,
      program: programOf(options)
    })
    const settings = { cwd: absolute(options.cwd), mode, model, mcpServers: options.mcpServers ?? [] }
    const took = Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6
    const conversation = yield* Connection.within(connection, Session.open(connection, session, settings), {
      of: initTimeout,
      left: Math.max(0, Duration.toMillis(initTimeout) - took)
    })
    yield* Effect.addFinalizer(() => connection.close)
    return { connection, conversation, scope, end }
  })
  return yield* opening.pipe(
    Scope.provide(scope),
    Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : end))
  )
})

/** How long an agent may take to get ready unless it is said otherwise. */
const defaultInitTimeout: Duration.Input = "60 seconds"

/** An agent that is open for a session: its process, started again when it has ended, and the turn that runs. */
const opened = Effect.fnUntraced(function* (session: Agent.AgentSession, options: Options) {
  const scope = yield* Effect.scope
  const room = yield* Children.room(session, { grace: graceOf(options) })
  // Before any process: it is closed after all of them.
  const readers = yield* Scope.fork(scope)
  const current = Warm.current<Running.Running>()
  const people = yield* peopleOf(session)
  const warm = Warm.keep<AcpError, Live>({
    session: session.key,
    scope,
    start: Effect.suspend(() => connect(session, options, { room, scope, readers })),
    isBusy: () => current.now() !== undefined
  })

  /** One prompt, and then what of the turn the agent has left open: it goes on with that in another process. */
  const prompted = (
    blocksOf: (one: Live) => Effect.Effect<Array<ContentBlock>>
  ): ReturnType<Agent.OpenAgent["answer"]> => {
    let running: Running.Running | undefined
    const answering = Effect.fnUntraced(function* (one: Live) {
      const { connection, conversation } = one
      const blocks = yield* blocksOf(one)
      yield* Effect.addFinalizer(() => Effect.sync(current.end))
      const { permissions = "ask", cancelWithin = "2 seconds" } = options
      const end = warm.end(one)
      // A prompt that was sent without anybody to cancel it would run on into the next turn.
      const begun = yield* Effect.uninterruptible(
        Running.run(blocks, { connection, conversation, permissions, cancelWithin, scope: one.scope, end })
      )
      running = begun
      current.begin(begun)
      return begun.events
    })
    const round = Warm.beating(warm.ready, (one) => Stream.unwrap(answering(one)))
    return goingOn(round, () => {
      const further = running?.further() ?? []
      return further.length === 0 ? undefined : prompted((one) => meanwhile(further, one.connection.can.images, people))
    })
  }

  const steer = (messages: ReadonlyArray<TurnMessage>) =>
    current.use((running) => {
      const live = warm.live()
      if (live === undefined) return Effect.void
      const { connection, conversation } = live
      return Effect.flatMap(messageBlocks(messages, connection.can.images, people), (blocks) =>
        running.steer(messages, asking(connection, conversation.id, blocks))
      )
    })

  const { can } = (yield* warm.ready).connection
  return {
    answer: (turn: Turn) =>
      prompted(({ connection, conversation }) =>
        promptOf(turn, { images: connection.can.images, introduction: conversation.introduction(), people })
      ),
    // One that is silent about what it was handed has to be ended: it must be able to find its conversation again.
    ...(can.steering && (can.load || can.resume) ? { steer } : {})
  }
})

/** Has the agent delete a conversation, where it can. One that it does not know any more is deleted. */
const forgetting = Effect.fnUntraced(function* (
  session: Agent.ForgottenSession,
  kept: string | undefined,
  options: Options
) {
  const sessionId = Session.keptId(kept)
  if (sessionId === undefined) return
  const killed: Agent.AgentSession["killed"] = (child) => Effect.logInfo("killed a program that was to forget", child)
  const room = yield* Children.room({ ...session, killed }, { grace: graceOf(options) })
  const connection = yield* Connection.start({
    room,
    readers: yield* Scope.fork(yield* Effect.scope),
    initTimeout: options.initTimeout ?? defaultInitTimeout,
    authMethod: options.authMethod,
    program: programOf(options)
  })
  if (!connection.can.delete) {
    return yield* Effect.logWarning(`agent "${connection.program}" can't delete conversations: what it stored stays`)
  }
  yield* Effect.mapError(connection.request("session/delete", { sessionId }), failed)
}, Effect.scoped)

/** What is wrong with the options, with its remedy; `undefined` when nothing is. Looks at nothing outside of them. */
export const invalid = (options: Options): string | undefined => {
  const [program] = options.argv
  if (program === undefined || program === "") return "argv: is empty; name a program"
  if (options.argv.some((word) => word.includes("\0"))) return "argv: holds a NUL character; remove it"
  const { stderrTail } = options
  if (stderrTail !== undefined && (!Number.isSafeInteger(stderrTail) || stderrTail < 1)) {
    return `stderrTail ${stderrTail}: is not a number of bytes; give a whole number above 0`
  }
  return niceProblem(options.nice) ?? environmentProblem(options.env ?? {})
}

/**
 * Makes an agent that speaks ACP. Throws when the options are {@link invalid};
 * whether the program exists is seen when a session first needs it, or by
 * `Children.check`.
 */
export const make = (options: Options): Agent.Agent => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  return Agent.make({
    resume: options.resume ?? "resume",
    models: "any",
    ...(options.turnTimeout === undefined ? {} : { turnTimeout: options.turnTimeout }),
    ...(options.stallTimeout === undefined ? {} : { stallTimeout: options.stallTimeout }),
    // Nobody can take over the pipes of an earlier boot, and two processes of one conversation would write over each other.
    orphan: "reap",
    orphans: Children.orphans,
    open: (session) => opened(session, options),
    forget: (session, kept) => forgetting(session, kept, options)
  })
}
