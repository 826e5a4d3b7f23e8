/**
 * One line about the boot before this one, for the log, `status` and whoever wonders why messages are answered late. It
 * is made of what the journal found when it opened: a stop that was killed left no report, and says so here.
 */
import type { PostMortem } from "../../Journal.ts"
import { forced, overdue, verdict } from "./exitCode.ts"
import { count, inWords } from "./reportText.ts"

const moment = (millis: number): string => new Date(millis).toISOString().replace(/\.\d+Z$/, "Z")

/** What is open, in words; empty when nothing is. */
const open = ({ openReplies, openTurns, waiting }: PostMortem): string =>
  [
    ...(openTurns === 0 ? [] : [count(openTurns, "turn")]),
    ...(waiting === 0 ? [] : [count(waiting, "waiting message")]),
    ...(openReplies === 0 ? [] : [count(openReplies, "reply", "replies")])
  ].join(", ")

const left = (postMortem: PostMortem): string => {
  const what = open(postMortem)
  return what === "" ? "" : `; it left ${what}`
}

const unclean = (postMortem: PostMortem): string => {
  const { endedAt, exitCode, marked, reason, startedAt } = postMortem
  const how =
    exitCode !== undefined
      ? `${verdict(exitCode)} (exit ${exitCode})`
      : marked
        ? `killed while it stopped${reason === undefined ? "" : ` (${reason})`}`
        : "ended without a stop"
  const when =
    endedAt === undefined
      ? `, some time after ${moment(startedAt)}`
      : ` at about ${moment(endedAt)}, ${inWords(endedAt - startedAt)} after its start`
  const what = open(postMortem)
  return `UNCLEAN: ${how}${when}; ${what === "" ? "nothing was open" : `open since then: ${what}`}`
}

/** The last stop in one line: `clean in 1.2 s`, or `UNCLEAN: ...` with what has been open since when. */
export const lastStop = (postMortem: PostMortem): string => {
  const { cut, end, exitCode, millis, reason } = postMortem
  if (end === "first") return "none, this is the first start"
  if (end === "unclean") return unclean(postMortem)
  const took = millis === undefined ? "" : ` ${inWords(millis)}`
  const again = reason === "restart" ? ", for a restart" : ""
  // A restart that had to cut turns has the code of a restart, and was not clean.
  if (exitCode === overdue || cut) return `${verdict(overdue)} after${took}${again}${left(postMortem)}`
  if (exitCode === forced) return `${verdict(forced)}, over after${took}${left(postMortem)}`
  return `${verdict(0)}${took === "" ? "" : ` in${took}`}${again}${left(postMortem)}`
}
