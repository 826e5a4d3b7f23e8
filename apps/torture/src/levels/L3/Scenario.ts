/**
 * What a fault is made of. A scenario breaks one thing while a gateway works, holds it
 * broken, and puts it right again; it says how often it struck, because a fault that
 * never came proves nothing, and how a gateway may end by it. Scenarios that need the
 * same preparation are a group and share a world.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Bundle } from "../../world/bundle.ts"
import type { Far } from "../../world/far.ts"
import type { Ready } from "../../world/Gateway.ts"
import type { People } from "../../world/clients.ts"
import type { BootOptions, Options, World } from "../../world/World.ts"
import type { Proxy } from "./Proxy.ts"
import type { Shim } from "./Shim.ts"

/** How a gateway ended, asked or not. */
export interface End {
  readonly boot: number
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** An exit code or a signal. */
export type HowEnded = number | NodeJS.Signals

/** Where a scenario takes place: a world with people in it, and a supervisor that starts the next gateway when one ends. */
export interface Ground {
  readonly bundle: Bundle
  readonly world: World
  readonly people: People
  readonly far: Far
  /** What the people write from now on; scenarios change it. */
  readonly behaviours: Array<string>
  /** Numbers below 1 of this trial's seed. */
  readonly random: () => number
  /** The long form: more of everything. */
  readonly long: boolean
  /** Of groups that need one; they throw in others. */
  readonly shim: Shim
  readonly line: Proxy
  /** The gateway that is ready; waits for it. */
  readonly gateway: Effect.Effect<Ready>
  /** The process that runs or is being started, ready or not; 0 when there is none. */
  readonly pid: () => number
  /** The last that each gateway said. */
  readonly printed: () => ReadonlyArray<string>
  /** All ends so far, in their order. */
  readonly ends: ReadonlyArray<End>
  /** Waits for one more end than there were. */
  readonly endAfter: (ends: number) => Effect.Effect<End>
  /** The supervisor starts nothing until `release`. */
  readonly hold: Effect.Effect<void>
  readonly release: Effect.Effect<void>
}

/** How often something struck, and what was counted. Zero is a fault of the harness. */
export interface Strike {
  readonly count: number
  readonly of: string
}

/** See the header. */
export interface Scenario {
  readonly name: string
  /** Breaks something, and ends when it has been broken for long enough. What it acquires it has until it is mended. */
  readonly during: (ground: Ground) => Effect.Effect<Strike, never, Scope.Scope>
  /** Puts it right again. */
  readonly mend: (ground: Ground) => Effect.Effect<void>
  readonly expects: {
    /** How gateways may end by it, and by what the scenario does itself. None: they go on. */
    readonly ends: ReadonlyArray<HowEnded>
    /** What else must hold, from the moments in which it began and was mended: broken promises in words. */
    readonly proof?: (ground: Ground, from: number, to: number) => ReadonlyArray<string>
  }
  /** What it needs beyond what its group does. */
  readonly needs?: ReadonlyArray<Need>
  /** Takes too long for the short form. */
  readonly long?: boolean
  /** Needs a gateway and a folder that nothing else breaks meanwhile. */
  readonly alone?: boolean
}

/**
 * What not every machine has: a preloaded shim, a file system that can be mounted, limits that can be set for a process, a
 * proxy before the gateway, folders that can be closed to writers.
 */
export type Need = "shim" | "mount" | "limit" | "line" | "lock"

/** What a group's world needs before its first gateway. */
export interface Prepared {
  readonly options?: Partial<Omit<Options, "bundle" | "seed">>
  readonly boot?: BootOptions
}

/** See the header. */
export interface Group {
  readonly name: string
  readonly needs: ReadonlyArray<Need>
  readonly prepare: Effect.Effect<Prepared, never, Scope.Scope>
  readonly scenarios: ReadonlyArray<Scenario>
}
