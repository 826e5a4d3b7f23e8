/**
 * A whole gateway for tests: the real pipeline over a real SQLite store, in memory
 * or in a file that outlives it. With an agent that echoes and a channel of the
 * host it needs nothing; a test brings its own agents and channels.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Gateway, type GatewayError, type GatewayOptions, type LiveSession, type NeedsOf } from "../Gateway.ts"
import { Journal, type JournalError, type JournalOptions } from "../Journal.ts"
import * as TestAgent from "./agent.ts"

/** Where the store is, and what the pipeline is made of. */
export interface TestGatewayOptions {
  /** A database file; in memory by default. A second gateway over the same file is the next boot. */
  readonly filename?: string
  readonly journal?: JournalOptions
}

/** The journal of a test: SQLite in memory, or in a file. */
export const journal = (options: TestGatewayOptions = {}): Layer.Layer<Journal, JournalError> =>
  Journal.layer(SqliteClient.layer({ filename: options.filename ?? ":memory:" }), options.journal)

const forgotten = ({ key, turn, waitsFor }: LiveSession): string =>
  `The test ends while turn ${turn?.id} of ${key} runs and waits for ${waitsFor}: it is cut off, not drained. End its run, or stop the gateway in the test.`

/**
 * At the end of a test nothing is waited for: the deadline of a stop never comes on a clock that stands still. A turn that
 * still runs is named, because it is mostly a run that the test forgot to end; over a file it may be meant for the next boot.
 */
const hurried = ({ filename }: TestGatewayOptions) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* Effect.addFinalizer(() =>
        Effect.gen(function* () {
          const running = (yield* gateway.live).filter(({ turn }) => turn !== undefined && filename === undefined)
          // The console of the process: the log and the console of a test are not shown.
          yield* Effect.sync(() => running.forEach((live) => globalThis.console.warn(forgotten(live))))
          yield* gateway.stop({ reason: "stop", by: "the end of the test", force: 1 })
        })
      )
    })
  )

/** A gateway with agents and channels of the test's own, together with its journal. Its scope's end cuts off what runs. */
export const make = <const O extends GatewayOptions<unknown>>(
  gateway: O,
  options: TestGatewayOptions = {}
): Layer.Layer<Gateway | Journal, GatewayError | JournalError, Exclude<NeedsOf<O>, Scope.Scope | Journal>> =>
  hurried(options).pipe(
    Layer.provideMerge(Gateway.layer(gateway)),
    Layer.provideMerge(journal(options))
  ) as Layer.Layer<Gateway | Journal, GatewayError | JournalError, Exclude<NeedsOf<O>, Scope.Scope | Journal>>

/** A gateway that answers each turn with its text and needs nothing. Give it TestClock's time to debounce. */
export const layer: Layer.Layer<Gateway, GatewayError | JournalError> = Layer.suspend(() =>
  make({ agents: { main: TestAgent.echo().agent } })
)
