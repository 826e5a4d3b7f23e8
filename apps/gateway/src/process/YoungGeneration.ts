/**
 * The part of V8's heap for what has just been made. It doubles whenever much of it survives, and while a program is
 * loaded all of it does: three megabytes that would then be kept for good. So it does not grow before the gateway is
 * ready; with work to do it may, because a small one is collected more often.
 */
import process from "node:process"

const grow = (factor: 1 | 2): void =>
  process.getBuiltinModule("node:v8").setFlagsFromString(`--semi-space-growth-factor=${factor}`)

/** Keeps it as small as it is, from the first line on. */
export const keep = (): void => grow(1)

/** V8's own choice again. */
export const release = (): void => grow(2)
