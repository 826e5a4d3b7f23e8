/**
 * The terminal channel, in two forms over the same code. `chat` talks to a
 * running gateway over HTTP, as `sluice chat` does: it survives that gateway's
 * restarts. `make` is a channel inside the gateway's own process, for a program
 * that embeds one. Either shows answers as they are written, sends each message
 * under an id until it is accepted, and shows each reply once.
 */
import * as Channel from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { attach, interactive, type Keyboard, piped } from "./internal/node/keyboard.ts"
import { ChatError, type Farewell, hold } from "./internal/terminal/dialogue.ts"
import { handleLine } from "./internal/terminal/handleLine.ts"
import { httpLine } from "./internal/terminal/httpLine.ts"
import type { IncomingFile } from "./internal/terminal/line.ts"
import type { Screen } from "./internal/terminal/transcript.ts"

export { ChatError, type Farewell, type IncomingFile, type Keyboard, type Screen }

/** What both forms take. A `Keyboard` fits in. */
export interface Conversation {
  /** Messages, each as it is sent. Its end is the wish to leave. */
  readonly input: Stream.Stream<string>
  /** Each is a Ctrl-C: the first stops what runs, a second one in a row leaves. None by default. */
  readonly interrupts?: Stream.Stream<void>
  readonly screen: Screen
  /** At the end of the input: `leave`, or `wait` until everything sent has its end and is shown. `leave` by default. */
  readonly whenInputEnds?: "leave" | "wait"
  /** Show answers while they are written; otherwise each when it is whole. On by default. */
  readonly streaming?: boolean
  /** The number of the last reply that is known here, or `latest` to see only new ones (the default). */
  readonly after?: number | "latest"
  /** A line to begin with, once there is a connection. None by default. */
  readonly opening?: string
  /** Where a file of a reply is found, a path or an address, to be shown with its name; nothing by default. */
  readonly whereFile?: (file: IncomingFile) => string | undefined
  /** Makes the id of the next message; a random UUID by default. */
  readonly nextId?: Effect.Effect<string>
}

/** Where and as whom to chat. */
export interface ChatOptions extends Conversation {
  /** As an effect it is asked for with every connection; `undefined` says that nobody is there now. */
  readonly url: string | Effect.Effect<string | undefined>
  /** As an effect it is asked for with every connection; several are tried in their order, as in a rotation. */
  readonly token: Redacted.Redacted | Effect.Effect<ReadonlyArray<Redacted.Redacted>>
  readonly conversation: string
  /** Who is writing; the conversation's name by default. */
  readonly sender?: string
}

const randomId = Effect.sync(() => globalThis.crypto.randomUUID())

const parts = (options: Conversation) => ({
  input: options.input,
  screen: options.screen,
  interrupts: options.interrupts ?? Stream.never,
  nextId: options.nextId ?? randomId,
  whenInputEnds: options.whenInputEnds ?? ("leave" as const),
  streaming: options.streaming ?? true,
  opening: options.opening,
  whereFile: options.whereFile
})

/**
 * Holds a conversation with a running gateway until the person leaves. Fails
 * when there is no gateway at the start, or when it refuses the token; later
 * losses of the connection are bridged.
 */
export const chat = (options: ChatOptions): Effect.Effect<Farewell, ChatError, HttpClient.HttpClient> =>
  Effect.flatMap(
    httpLine({
      url: Effect.isEffect(options.url) ? options.url : Effect.succeed(options.url),
      tokens: Effect.isEffect(options.token) ? options.token : Effect.succeed([options.token]),
      conversation: options.conversation,
      sender: options.sender ?? options.conversation
    }),
    (line) => hold({ ...parts(options), line, after: options.after ?? "latest" })
  )

/** A terminal inside the gateway's process. */
export interface TerminalOptions extends Conversation {
  /** Name of the conversation; `terminal` by default. */
  readonly conversation?: string
  readonly sender?: string
  /** Runs when the person leaves; the gateway goes on unless this stops it. */
  readonly onLeave?: Effect.Effect<void>
}

/**
 * Makes the terminal channel. Replies are pulled by number from where the screen
 * stopped, so a channel that is started again repeats nothing; a process that
 * died took its screen along, and the next one begins at `after`.
 */
export const make = (options: TerminalOptions): Channel.Channel => {
  let position = options.after ?? "latest"
  const conversation = options.conversation ?? "terminal"
  return Channel.make({
    // a person sees the answers of a drain too: it ends with the channels, not with the intake
    kind: "server",
    delivery: Channel.pull,
    files: true,
    receive: Effect.fnUntraced(function* (handle) {
      yield* handle.ready
      const line = handleLine(handle, { conversation }, options.sender ?? conversation)
      yield* hold({
        ...parts(options),
        line,
        after: position,
        remember: (number) => {
          position = number
        }
      }).pipe(
        Effect.mapError(
          (error) => new Channel.ChannelError({ channel: handle.name, reason: error.message, cause: error })
        )
      )
      yield* options.onLeave ?? Effect.void
      return yield* Effect.never
    }),
    describe: Effect.succeed(`conversation ${conversation}`)
  })
}

/** The terminal of this process, or its pipes when it has none. */
export const keyboard = attach

/** A terminal over any two streams. */
export const keyboardOf = interactive

/** Pipes: lines in, answers out, everything else beside. */
export const pipes = piped
