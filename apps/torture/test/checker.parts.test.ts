// Answers in parts, sessions of one conversation, posts, and messages that are run again: what each invariant says of them,
// by histories that keep it and histories that break it.
import { describe, expect, it } from "vitest"
import { tale, type Tale } from "./tale.ts"

/** A run whose answer was cut into three, of which these are shown, in this order. */
const cut = (parts: ReadonlyArray<number>, from: Tale = tale().sends("a")): Tale => {
  const told = from.begins("r1", ["a"]).says("r1", "ok")
  for (const part of parts) told.shows(`${part}`, ["a"], { run: "r1", part, parts: 3 })
  return told
}

describe("an answer in parts", () => {
  it("is whole when each part stands there", () => {
    expect(cut([1, 2, 3]).rests().broken).toEqual([])
  })

  it("breaks I1 when a part is missing, also when a command's reply stands beside it", () => {
    const missing = "I1 a was acknowledged and had no part 2 of its end when everything was at rest"
    expect(cut([1, 3]).rests().broken).toEqual([missing])
    expect(cut([1, 3]).rests().verdict.lost).toBe(1)
  })

  it("is allowed a part that nobody can know of, or that was refused", () => {
    const held = tale("hold").sends("a").begins("r1", ["a"]).says("r1", "ok")
    held
      .shows("1", ["a"], { run: "r1", part: 1, parts: 2 })
      .shows("", ["a"], { phase: "fail", run: "r1", part: 2, parts: 2 })
    expect(held.rests().broken).toEqual([])
    const refused = cut([1, 2]).shows("", ["a"], { phase: "fail", failure: "refused", part: 3, parts: 3 }).rests()
    expect(refused.ledger({ undeliverable: 1 }).broken).toEqual([])
  })

  it("breaks I5 when a part comes before an earlier one, or after the next message's answer", () => {
    expect(cut([2, 1, 3]).rests().broken).toEqual(["I5 part 1 of what ended a was shown after part 2"])
    const overtaken = tale().sends("a").sends("b").begins("r1", ["a"]).says("r1", "ok")
    overtaken.shows("1", ["a"], { run: "r1", part: 1, parts: 2 }).answers("2", "r2", ["b"])
    expect(overtaken.shows("3", ["a"], { run: "r1", part: 2, parts: 2 }).rests().broken).toEqual([
      "I5 b was answered before a, and they are 2 and 1"
    ])
  })

  it("keeps I5 when it answers several messages, and a copy of a part comes later", () => {
    const both = tale("resend-once").sends("a").sends("b").begins("r1", ["a", "b"]).says("r1", "ok")
    both.shows("1", ["a", "b"], { run: "r1", part: 1, parts: 2, phase: "info" })
    both.shows("2", ["a", "b"], { run: "r1", part: 1, parts: 2, what: "copy" })
    both.shows("3", ["a", "b"], { run: "r1", part: 2, parts: 2 })
    expect(both.rests().broken).toEqual([])
  })
})

describe("sessions of one conversation", () => {
  const besides = (session: string) =>
    tale().sends("a").sends("b").begins("r1", ["a"], { session: "1" }).begins("r2", ["b"], { session })

  it("don't wait for each other: runs overlap and answers overtake", () => {
    const two = besides("2")
      .says("r2", "ok")
      .shows("1", ["b"], { run: "r2" })
      .says("r1", "ok")
      .shows("2", ["a"], { run: "r1" })
    expect(two.rests().broken).toEqual([])
  })

  it("break I6 and I5 where it is one session", () => {
    const one = besides("1")
      .says("r2", "ok")
      .shows("1", ["b"], { run: "r2" })
      .says("r1", "ok")
      .shows("2", ["a"], { run: "r1" })
    expect(one.rests().verdict.broken.map(({ invariant }) => invariant)).toEqual(["I5", "I6"])
  })

  it("keep the order of each: a session's later message is not run first", () => {
    const swapped = tale().sends("a").sends("b").sends("c").begins("r1", ["c"], { session: "1" }).says("r1", "ok")
    swapped
      .begins("r2", ["b"], { session: "2" })
      .says("r2", "ok")
      .begins("r3", ["a"], { session: "1" })
      .says("r3", "ok")
    expect(swapped.verdict.broken.map(({ what }) => what)).toEqual(["c was run before a, and they are 3 and 1"])
  })
})

describe("posts", () => {
  const posted = () => tale().sends("p", { post: true, seq: false }).sends("a").answers("1", "r1", ["a"])
  const figures = { accepted: 1, open: 0, sent: 1, undeliverable: 0, unknown: 0 }

  it("are shown, and are in a ledger of their own", () => {
    const shown = posted().shows("2", ["p"], { what: "notice" }).rests().ledger({ replied: 1 }, { posts: figures })
    expect(shown.broken).toEqual([])
  })

  it("break I1 when they are not shown, and I10 when the ledger says otherwise", () => {
    const lost = posted().rests().ledger({ replied: 1 }, { posts: figures })
    expect(lost.broken).toEqual([
      "I1 p was acknowledged and had no end when everything was at rest",
      "I10 the ledger: 1 posts were sent, and the history has 0"
    ])
    const shown = () => posted().shows("2", ["p"], { what: "notice" }).rests()
    expect(shown().ledger({ replied: 1 }, { posts: { ...figures, accepted: 2 } }).broken).toEqual([
      "I10 the ledger: 2 posts are not 1",
      "I10 the ledger: 2 posts, and the history has 1"
    ])
    expect(shown().ledger({ replied: 1 }).broken).toEqual(["I10 the ledger: it says nothing of posts"])
  })
})

describe("messages that are run again", () => {
  const again = () =>
    tale()
      .sends("a")
      .shows("1", ["a"], { what: "notice" })
      .sends("c", { command: true, retry: true })
      .shows("2", ["c"], { what: "command" })

  it("may be more than anybody sent, as many as there were before the command", () => {
    expect(again().rests().ledger({ suspended: 1, command: 1 }).broken).toEqual([])
    expect(again().rests().ledger({ suspended: 1, cancelled: 1, command: 1 }).broken).toEqual([])
    expect(again().rests().ledger({ suspended: 1, cancelled: 2, command: 1 }).broken).toEqual([
      "I10 the ledger: 4 accepted, and the history has 2 to 3"
    ])
  })
})
