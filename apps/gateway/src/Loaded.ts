/**
 * What the first lines of the program want to hear: everything is loaded, the
 * gateway is ready. A host of the program that has nothing to do then gives nothing.
 */
import * as Context from "effect/Context"

/** Called once, when the gateway is ready. */
export const Loaded = Context.Reference<() => void>("@sluice/gateway/Loaded", { defaultValue: () => () => undefined })
