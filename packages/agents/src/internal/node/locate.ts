/**
 * Why a program can't be started, in words that name the program and the remedy.
 * The system says ENOENT for a missing program, a missing interpreter and a
 * missing working folder alike; this looks at each to tell which it was.
 */
import * as fs from "node:fs"
import * as path from "node:path"

type Kind = "missing" | "hidden" | "folder" | "closed folder" | "plain" | "program"

/** `hidden`: whether it is there can't be told, because a folder on the way to it may not be entered. */
const kind = (file: string): Kind => {
  let folder: boolean | undefined
  try {
    folder = fs.statSync(file).isDirectory()
    fs.accessSync(file, fs.constants.X_OK)
    return folder ? "folder" : "program"
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code !== "EACCES" && code !== "EPERM") return "missing"
    if (folder === undefined) return "hidden"
    return folder ? "closed folder" : "plain"
  }
}

const interpreter = (file: string): string | undefined => {
  let descriptor: number | undefined
  try {
    descriptor = fs.openSync(file, "r")
    const head = Buffer.alloc(256)
    const line = head.toString("utf8", 0, fs.readSync(descriptor, head)).split("\n", 1)[0] ?? ""
    return line.startsWith("#!") ? line.slice(2).trim() : undefined
  } catch {
    // Executable but not readable: nothing more can be said.
    return undefined
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor)
  }
}

const folderProblem = (cwd: string): string | undefined => {
  switch (kind(cwd)) {
    case "folder":
      return undefined
    case "missing":
      return `working folder "${cwd}" does not exist: create it or correct cwd`
    case "hidden":
    case "closed folder":
      return `working folder "${cwd}" can't be entered: correct its permissions or cwd`
    default:
      return `working folder "${cwd}" is a file: correct cwd`
  }
}

const fileProblem = (program: string, file: string): string | undefined => {
  const found = kind(file)
  if (found === "missing") return `program "${program}" does not exist: correct argv[0] or install it`
  if (found === "hidden") return `program "${program}" is in a folder that can't be entered: correct its permissions`
  if (found === "folder" || found === "closed folder") return `program "${program}" is a folder: correct argv[0]`
  if (found === "plain") {
    return `program "${program}" is not executable: run chmod +x on it, or put its interpreter first, as in ["node", "${program}"]`
  }
  const by = interpreter(file)
  const bin = by?.split(/\s+/, 1)[0]
  return bin !== undefined && bin !== "" && kind(bin) === "missing"
    ? `program "${program}" asks for the interpreter "${bin}", which does not exist: install it or correct its first line`
    : undefined
}

/** A file that lies in the working folder is what was meant: it is looked for there only by a path. */
const remedy = (program: string, folder: string): string => {
  const found = kind(path.join(folder, program))
  if (found !== "program" && found !== "plain") return "install it or give its whole path in argv[0]"
  const there = `a name without a slash is looked for there only; for the file in ${folder} write "./${program}" in argv[0]`
  return found === "program" ? there : `${there} and run chmod +x on it, or put its interpreter first`
}

/** What keeps a program from being started, or `undefined` when nothing is to be seen. */
export const problem = (
  program: string,
  cwd: string | undefined,
  searchPath: string | undefined
): string | undefined => {
  const folder = cwd === undefined ? undefined : folderProblem(cwd)
  if (folder !== undefined) return folder
  if (program.includes("/")) return fileProblem(program, path.resolve(cwd ?? ".", program))
  const folders = (searchPath ?? "").split(path.delimiter).filter((folder) => folder !== "")
  const files = folders.map((folder) => path.resolve(cwd ?? ".", folder, program))
  const found = files.find((file) => kind(file) === "program")
  if (found !== undefined) return fileProblem(program, found)
  const plain = files.find((file) => kind(file) === "plain")
  if (plain !== undefined) return fileProblem(program, plain)
  // A folder of PATH that is not for this user is no news: shells pass it by without a word, too.
  const shown = folders.length > 3 ? [...folders.slice(0, 3), "..."] : folders
  return `program "${program}" was not found on PATH (${shown.join(path.delimiter)}): ${remedy(program, path.resolve(cwd ?? "."))}`
}
