// The ACP agent keeps the promises that every agent makes: with an agent that stops when it is told to, and with one
// that does not even hear it.
import { describe, it } from "@effect/vitest"
import type { Turn } from "@sluice/runtime/Message"
import { agentConformance } from "@sluice/runtime/testing/agentConformance"
import * as Children from "../../src/Children.ts"
import { scripted } from "./scripted.ts"

const note = ({ interrupted }: Turn): string => {
  if (interrupted === undefined) return ""
  const cut = `[An earlier attempt at this was cut off (${interrupted.by})`
  return interrupted.tool === undefined
    ? `${cut}. What it did until then may have taken effect.]\n`
    : `${cut} while "${interrupted.tool}" was running, and nobody knows how that ended. Find out before you do it again.]\n`
}

const subject = {
  expected: (turn: Turn) => `${note(turn)}${turn.text}`,
  fails: "fail",
  hangs: "hang",
  hangsWith: "event",
  keeps: 1,
  running: Children.running
} as const

describe("Acp", () => {
  const cases = agentConformance({ ...subject, agent: scripted(["--close"]) })
  for (const { name, run } of cases) it.live(name, () => run)
})

describe("Acp with an agent that hears neither a cancellation nor a signal", () => {
  const deaf = scripted(["--deaf"], {
    cancelWithin: "50 millis",
    grace: { ask: "20 millis", term: "50 millis", kill: "1 second" }
  })
  // What it answers is the same as above; how it is let go of is not.
  const cases = agentConformance({ ...subject, agent: deaf }).filter(
    ({ name }) => !/^(streams|answers|passes|takes|is told)/.test(name)
  )
  for (const { name, run } of cases) it.live(name, () => run)
})
