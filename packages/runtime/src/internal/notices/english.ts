/**
 * The default wording of every sentence. Short and human: people hear of their
 * messages and of what they can do, never of the machinery that serves them.
 */
import type { Catalogue } from "../../Notices.ts"
import { ago, plural, span } from "./words.ts"

const nobodyHears = "Nobody hears of restarts here."
const aside = "Everything else works; /retry tries again."

/** English. */
export const english: Catalogue = {
  waiting: () => "Got it. I'll get to this right after what I'm doing now.",
  goingDown: ({ restarts }) =>
    restarts
      ? "I'm restarting. Your messages are safe, no need to send anything again."
      : "I'm stopping for now. Your messages are safe, and I'll get to them when I'm back.",
  back: ({ words }) => (words === "" ? "I'm back." : `I'm back and carrying on with "${words}".`),
  cutOff: ({ tool }) => ({
    text: `I was cut off while ${tool === "" ? "working" : tool} and can't tell whether it went through.`,
    // Where there are no buttons the commands are what does it; the first one is for the agent, the last one needs nothing.
    options: ["Check first", "Do it again: /retry", "Leave it"]
  }),
  ask: ({ words }) => `I was cut off while working on "${words}". /retry starts it again.`,
  letGo: ({ words }) => `I was cut off while working on "${words}" and let it go. Send it again if you still need it.`,
  setAside: ({ words, count, ref }) =>
    `"${words}" failed ${plural(count, "time")}, so I've set it aside. ${aside} (${ref})`,
  setAsideCrashed: ({ words, count, ref }) =>
    `I broke down ${plural(count, "time")} while working on "${words}", so I've set it aside. ${aside} (${ref})`,
  setAsideCut: ({ words, count, ref }) =>
    `"${words}" was cut off ${plural(count, "time")}, so I've set it aside. ${aside} (${ref})`,
  tooMany: ({ kept, summarized }) =>
    `A lot came in while I was busy. I kept the newest ${kept} and a summary of the ${
      summarized === 1 ? "one" : summarized
    } before.`,
  tooManyDropped: ({ kept, dropped }) =>
    `A lot came in while I was busy. I kept the newest ${kept} and left out the ${
      dropped === 1 ? "one" : dropped
    } before.`,
  tooManyRefused: ({ words }) =>
    `A lot is waiting already, so I couldn't take "${words}". Please send it again a little later.`,
  late: ({ age }) => `(Sorry for the delay. This is about your message from ${ago(age)}.)`,
  latePost: ({ age }) => `(Sorry for the delay. This was meant for you ${ago(age)}.)`,
  maybeTwice: () => "(You may have seen this before: the connection dropped while I was sending it.)",
  historyGone: () => ({
    text: "I can't find our earlier conversation.",
    options: ["Try again: /retry", "Start fresh: /new"]
  }),
  slow: ({ doing, elapsed }) =>
    `Still on it: ${doing === "" ? "" : `${doing}, `}${span(elapsed)} so far. /stop cancels.`,
  tryingAgain: ({ wait }) => `That didn't work. Trying again in ${span(wait)} ...`,
  resuming: ({ idle }) => `Resuming session (idle for ${span(idle)})...`,
  heldAgent: ({ agent }) =>
    `"${agent}" isn't set up here any more, so this has to wait for it. Your messages are kept; /new starts afresh with another.`,
  budget: ({ period, resumesAt, resumesIn }) =>
    `I've used up what I may spend ${period === "month" ? "this month" : "today"}. Your message is kept, and I carry on at ${resumesAt} (in ${span(resumesIn)}).`,
  heldChannel: ({ channel, conversations }) =>
    `Channel "${channel}" is not configured: replies to ${plural(conversations, "conversation")} are held until it is again`,
  rejected: ({ ref }) => `I can't answer this as it is. Please put it differently. (${ref})`,
  fromSession: ({ name }) => `[${name}]`,
  usingTool: ({ tool }) => `${tool} ...`,
  placeholder: () => "…",
  noReply: () => "(Ended without an answer.)",
  stopped: ({ waiting }) =>
    waiting === 0
      ? "Stopped."
      : `Stopped. ${plural(waiting, "message")} that waited ${waiting === 1 ? "is" : "are"} cancelled too.`,
  nothingToStop: () => "There is nothing to stop.",
  startedNew: ({ name, waiting }) =>
    (name === "" ? "A fresh start." : `A fresh start: "${name}".`) +
    (waiting === 0 ? "" : ` ${plural(waiting, "message")} that waited ${waiting === 1 ? "is" : "are"} cancelled.`),
  switched: ({ name }) => `This is "${name}" now.`,
  switchedEmpty: ({ name }) => `This is "${name}" now. What was said in it has been deleted since, so it starts empty.`,
  switchedKeeps: ({ agent, name, persona }) =>
    `This is "${name}" now. It was begun with ${agent} and stays with it, so it has not become "${persona}"; /new with another name begins that.`,
  archived: ({ name }) => `Archived as "${name}", all of it is in the file. /session ${name} brings it back.`,
  archivedOnly: ({ name }) => `Archived as "${name}". /session ${name} brings it back.`,
  nothingToArchive: ({ name, names }) =>
    `There is nothing called "${name}", so nothing is archived. There is: ${names}.`,
  archiveBusy: ({ name }) =>
    `I'm still busy in "${name}", so nothing is archived. Try again when I'm done, or /stop first.`,
  archiveFailed: () => "I couldn't write the file, so nothing is archived. Please try again later.",
  file: ({ name, size }) => `[file: ${name}, ${size}]`,
  noSuchName: ({ canBegin, name, names }) =>
    `There is nothing called "${name}". There is: ${names}.${canBegin ? ` /new ${name} starts it.` : ""}`,
  timeoutIs: ({ timeout }) =>
    `I let go after ${plural(Math.round(timeout / 60_000), "minute")} without anything to do.`,
  timeoutSet: ({ timeout }) =>
    `From now on I let go after ${plural(Math.round(timeout / 60_000), "minute")} without anything to do.`,
  notPossible: ({ value, allowed }) =>
    value === "" ? `Something is missing there: ${allowed}.` : `"${value}" is not possible here. Possible: ${allowed}.`,
  queueIs: ({ mode, modes }) => `What you write while I'm busy is handled as "${mode}". There is: ${modes}.`,
  queueSet: ({ mode }) => `From now on, what you write while I'm busy is handled as "${mode}".`,
  modelIs: ({ model, models }) =>
    (model === "" ? "The model is my own choice." : `The model is "${model}".`) +
    (models === "" ? "" : ` There is: ${models}.`),
  modelSet: ({ model }) =>
    model === "" ? "From now on the model is my own choice." : `From now on the model is "${model}".`,
  noModels: ({ agent }) => `"${agent}" has no models to choose from.`,
  noModel: ({ model, models }) =>
    `I have no model called "${model}".${models === "" ? "" : ` There is: ${models}.`} ` +
    "/model chooses another, /model default is my own choice, and /retry tries again.",
  outputSet: ({ mode }) =>
    mode === "verbose"
      ? "From now on you see everything that I do."
      : mode === "smart"
        ? "From now on you see nothing but the answer: of a long one its beginning, and all of it as a file where I can send one."
        : "From now on you see the answer, and what I do while I work on it.",
  noticesAre: ({ now }) =>
    now === "never"
      ? nobodyHears
      : now === "on"
        ? "You hear of a restart that makes an answer late. /notices off ends that."
        : "You don't hear of restarts. /notices on changes that.",
  noticesSet: ({ now }) =>
    now === "never"
      ? nobodyHears
      : now === "on"
        ? "From now on you hear of a restart that makes an answer late."
        : "From now on you don't hear of restarts.",
  whoami: ({ sender, where, name }) => `You are "${sender}", this is ${where}, and you are in "${name}".`,
  retrying: ({ messages }) => `Trying again with ${plural(messages, "message")}.`,
  nothingToRetry: () => "There is nothing to try again.",
  forgetSure: () =>
    "This deletes everything that was said here, by you and by me, and can't be undone. /forget yes does it.",
  forgotten: ({ waiting }) =>
    "Everything that was said here is deleted." +
    (waiting === 0 ? "" : ` ${plural(waiting, "message")} that waited ${waiting === 1 ? "is" : "are"} cancelled.`),
  notUnderstood: ({ command }) => `I don't know ${command}. /help lists what I understand.`,
  permission: ({ number, question, options }) => `${question}\n${options}\n(/allow ${number} and your choice)`,
  undecided: ({ number, question, options }) =>
    `I'm still waiting for your decision on "${question}":\n${options}\n` +
    `Write one of these, or /allow ${number} with its number. I'll get to what you just wrote after that.`,
  permissionExpired: ({ question }) => `Nobody answered "${question}" in time, so I went on without it.`,
  permissionGone: () => "There is no open question with that number.",
  decided: ({ option }) => `All right: ${option}.`
}
