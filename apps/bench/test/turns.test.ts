// What decides the figures of a gateway beside its agents: how the times of a client and those of an agent become a
// gateway's own part, and how a stream of events is cut.
import { describe, expect, it } from "vitest"
import { eventsIn } from "../src/agents/gateway.ts"
import { overheadOf, type Parts, partsOf, spread, stampsIn } from "../src/agents/turns.ts"

const line = (turn: string, seen: number, first: number, said: number) => JSON.stringify({ turn, seen, first, said })

describe("a turn's parts", () => {
  const stamps = stampsIn(`${line("waiting-1", 110, 130, 150)}\n${line("waiting-2", 210, 211, 212)}\n`)

  it("are the agent's time, and the way there and back, which are the gateway's own", () => {
    expect(partsOf("waiting-1", { asked: 100, readable: 157 }, stamps)).toEqual({
      whole: 57,
      own: 17,
      there: 10,
      back: 7,
      first: undefined
    })
  })

  it("say when the first words could be read, without the time until the agent said them", () => {
    expect(partsOf("waiting-1", { asked: 100, first: 134, readable: 157 }, stamps).first).toBe(14)
  })

  it("are of no turn that no agent saw, nor of one that ran twice", () => {
    expect(() => partsOf("waiting-3", { asked: 300, readable: 301 }, stamps)).toThrow("no agent saw turn waiting-3")
    expect(() => stampsIn(`${line("a-1", 1, 2, 3)}\n${line("a-1", 4, 5, 6)}`)).toThrow("turn a-1 ran twice")
  })

  it("are refused where the stamps can't be those of the turn", () => {
    expect(() => partsOf("waiting-2", { asked: 211, readable: 220 }, stamps)).toThrow("did not happen in order")
    expect(() => partsOf("waiting-2", { asked: 200, readable: 211 }, stamps)).toThrow("did not happen in order")
    expect(() => stampsIn('{"turn":"a-1","seen":1}')).toThrow("no stamp")
  })
})

describe("a spread", () => {
  it("has the longest of a hundred values as its 99th percentile, and the middle as its median", () => {
    expect(spread(Array.from({ length: 100 }, (_, index) => 100 - index))).toEqual({ p50: 51, p99: 100 })
  })
})

describe("a gateway's overhead", () => {
  const part = (own: number, first?: number): Parts => ({ whole: 100, own, there: own, back: 0, first })

  it("is what turns take beyond their agent's time, less what bare turns take beyond it, quantile by quantile", () => {
    const through = [part(12), part(11), part(14)]
    expect(overheadOf(through, [part(2), part(1), part(9)])).toEqual({
      answer: { p50: 10, p99: 5 },
      first: undefined
    })
  })

  it("to the first words is told where they could be read", () => {
    const { first } = overheadOf([part(12, 7), part(12, 8), part(12, 9)], [part(2, 1), part(2, 1), part(2, 1)])
    expect(first).toEqual({ p50: 7, p99: 8 })
  })
})

describe("a stream of events", () => {
  it("is cut wherever its chunks end, and comments are none", () => {
    const seen: Array<string> = []
    const hear = eventsIn((event, data) => seen.push(`${event} ${data}`))
    const text = ": alive\n\nevent: text\ndata: one\n\nid: 2\nevent: reply\ndata: two\n\ndata: three\n\n"
    for (const character of text) hear(character)
    expect(seen).toEqual(["text one", "reply two", "message three"])
  })
})
