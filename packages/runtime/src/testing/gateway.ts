/**
 * A whole gateway for tests: the real pipeline over a real SQLite store, in memory
 * or in a file that outlives it. With an agent that echoes and a channel of the
 * host it needs nothing; a test brings its own agents and channels.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Gateway, type GatewayError, type GatewayOptions, type NeedsOf } from "../Gateway.ts"
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

/** A gateway with agents and channels of the test's own, together with its journal. */
export const make = <const O extends GatewayOptions<unknown>>(
  gateway: O,
  options: TestGatewayOptions = {}
): Layer.Layer<Gateway | Journal, GatewayError | JournalError, Exclude<NeedsOf<O>, Scope.Scope | Journal>> =>
  Gateway.layer(gateway).pipe(Layer.provideMerge(journal(options))) as Layer.Layer<
    Gateway | Journal,
    GatewayError | JournalError,
    Exclude<NeedsOf<O>, Scope.Scope | Journal>
  >

/** A gateway that answers each turn with its text and needs nothing. Give it TestClock's time to debounce. */
export const layer: Layer.Layer<Gateway, GatewayError | JournalError> = Layer.suspend(() =>
  make({ agents: { main: TestAgent.echo().agent } })
)
