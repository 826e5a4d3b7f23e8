/**
 * The commands that a chat's menu offers: those of docs/commands.md that somebody
 * would look for there. What they do is the gateway's; here are only their names.
 */

/** Commands with what they do, in the order of the menu. */
export const commands: ReadonlyArray<{ readonly command: string; readonly description: string }> = [
  { command: "stop", description: "Stop what I'm doing, and what waits" },
  { command: "new", description: "Begin afresh" },
  { command: "status", description: "What I'm doing right now" },
  { command: "retry", description: "Try the last thing again" },
  { command: "sessions", description: "All that we have going" },
  { command: "session", description: "Go to another of them, by its name" },
  { command: "archive", description: "Set this one aside, with all of it as a file" },
  { command: "model", description: "Show or choose the model" },
  { command: "queue", description: "What happens to what you write while I'm busy" },
  { command: "verbose", description: "Show everything that I do" },
  { command: "smart", description: "Long answers as a file" },
  { command: "default", description: "The answer, and what I do meanwhile" },
  { command: "usage", description: "What this has used" },
  { command: "timeout", description: "When I let go of an idle one" },
  { command: "notices", description: "Whether I tell you of a restart" },
  { command: "whoami", description: "As whom I know you" },
  { command: "forget", description: "Delete all that was said here" },
  { command: "help", description: "This list" }
]
