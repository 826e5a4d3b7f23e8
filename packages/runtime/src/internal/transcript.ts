/**
 * A session as Markdown that a person reads: who wrote what when, and the answers.
 * People's words are quoted and an answer's own headings are lowered, so that
 * nothing that was said passes for somebody else's words or for the frame around
 * them. The same session gives the same bytes: an archive that a crash cut off
 * finds its file there the next time.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Journal, JournalError, Outline, Said } from "../Journal.ts"
import { type Attachment, endedText, sizeText } from "../Message.ts"
import { clean, firstWords } from "./notices/words.ts"

/** The media type of an export. */
export const markdown = "text/markdown"

/** Messages whose texts are read at a time, and how long an export may be, in UTF-16 units. */
const bounds = { page: 100, length: 32 * 1024 * 1024 }

/** A name in a line of Markdown: nothing of it is read as markup. */
const plain = (text: string): string => firstWords(text, 100).replaceAll(/[\\`*_[\]<>#|~!&]/g, (sign) => `\\${sign}`)

const stamp = (at: number): string => new Date(at).toISOString().slice(0, 19).replace("T", " ")

const files = (attachments: ReadonlyArray<Attachment>): string =>
  attachments
    .map(({ hash, name = hash, size, type }) => `- ${plain(name)} (${plain(type)}, ${sizeText(size)})\n`)
    .join("")

const lines = (text: string): ReadonlyArray<string> => clean(text, Number.MAX_SAFE_INTEGER / 8).split("\n")

const quoted = (text: string): string =>
  text === ""
    ? ""
    : `${lines(text)
        .map((line) => (line === "" ? ">" : `> ${line}`))
        .join("\n")}\n`

const fence = /^ {0,3}(`{3,}|~{3,})(.*)$/
const heading = /^( {0,3})(#{1,6})(?=\s|$)/
// A line below another that makes a heading of it, and one that begins a block of HTML; a link in angle brackets does not.
const underline = /^( {0,3})(?==+[ \t]*$|-+[ \t]*$)/
const html = /^( {0,3})(?=<(?![a-z][a-z0-9+.-]*:)[a-z!?/])/i

/** An answer as it is, but that its headings are below those of the export and that it ends what it begins. */
export const framed = (text: string): string => {
  let open: string | undefined
  const written = lines(text).map((line, index, all) => {
    const [, mark = "", rest = ""] = fence.exec(line) ?? []
    if (open !== undefined) {
      if (mark.startsWith(open) && rest.trim() === "") open = undefined
      return line
    }
    if (mark !== "" && !(mark.startsWith("`") && rest.includes("`"))) {
      open = mark
      return line
    }
    if (html.test(line) || ((all[index - 1] ?? "").trim() !== "" && underline.test(line))) {
      return line.replace(/^ */, (space) => `${space}\\`)
    }
    return line.replace(
      heading,
      (_, space: string, signs: string) => `${space}${"#".repeat(Math.min(6, signs.length + 3))}`
    )
  })
  if (open !== undefined) written.push(open)
  return `${written.join("\n").trimEnd()}\n`
}

/** Ends that an answer, or its absence, says by itself. */
const usual: ReadonlySet<string> = new Set(["replied", "no-reply"])

const entry = ({ answer, ended, row }: Said): string => {
  const gone = row.text === "" && row.attachments.length === 0
  const end = ended !== undefined && usual.has(ended.ending) ? "" : `\n(${endedText(ended)})\n`
  const message = `### ${plain(row.sender) || "(unknown)"}, ${stamp(row.acceptedAt)}\n\n${
    gone ? "(no longer stored)\n" : quoted(row.text) + files(row.attachments)
  }${end}\n`
  return answer === undefined
    ? message
    : `${message}### Answer, ${stamp(answer.at)}\n\n${framed(answer.text)}${files(answer.attachments)}\n`
}

const head = ({ isCut, session }: Outline): string =>
  `# ${plain(session.name)}\n\nConversation ${plain(session.conversationKey)}. Times are UTC.\n\n${
    isCut ? "What came before is left out: it is too long for one file.\n\n" : ""
  }`

/** A session's export, in pieces. */
export const transcript = (
  journal: Pick<Journal["Service"], "said">,
  outline: Outline
): Stream.Stream<Uint8Array, JournalError> => {
  const { seqs } = outline
  const body = Stream.paginate({ from: 0, length: 0 }, ({ from, length }) =>
    Effect.map(journal.said(seqs.slice(from, from + bounds.page)), (page) => {
      const text = page.map(entry).join("")
      const next = { from: from + bounds.page, length: length + text.length }
      const isFull = next.length > bounds.length && next.from < seqs.length
      const more = next.from < seqs.length && !isFull
      const end = isFull ? "The rest is left out: it is too long for one file.\n" : ""
      return [[text + end], more ? Option.some(next) : Option.none()] as const
    })
  )
  return Stream.encodeText(Stream.concat(Stream.succeed(head(outline)), seqs.length === 0 ? Stream.empty : body))
}

/** An export with the name of its session. */
export interface Transcript {
  readonly conversation: string
  readonly session: string
  readonly content: Stream.Stream<Uint8Array, JournalError>
}

/** The export of a session by its name in a conversation, of the current one without a name. */
export const transcriptOf = Effect.fnUntraced(function* (
  journal: Pick<Journal["Service"], "said" | "outline" | "sessionNamed">,
  conversation: string,
  name: string | undefined
): Effect.fn.Return<Transcript | undefined, JournalError> {
  const id = yield* journal.sessionNamed(conversation, name)
  const outline = id === undefined ? undefined : yield* journal.outline(id)
  return outline === undefined
    ? undefined
    : { conversation, session: outline.session.name, content: transcript(journal, outline) }
})
