const RULE = /^\(buf\.validate\./;
const RULE_STATEMENT = /^option \(buf\.validate\./;

/** The text of a proto without the rules of protovalidate; comments and other options remain. */
export function withoutRules(text: string): string {
  let result = '';
  for (let at = 0; at < text.length; ) {
    const end = endOfToken(text, at);
    const token = text.slice(at, end);
    at = end;
    if (token.startsWith('[')) result += keptOptions(token.slice(1, -1));
    else if (RULE_STATEMENT.test(token)) result = result.trimEnd();
    else result += token;
  }
  return result.replace('import "buf/validate/validate.proto";\n', '');
}

/** A comment, a string, a list of options, a statement about a rule, or a character. */
function endOfToken(text: string, at: number): number {
  if (text.startsWith('//', at)) return text.indexOf('\n', at);
  if (text[at] === '"') return endOfString(text, at);
  if (text[at] === '[') return endOfNesting(text, at, ']');
  if (RULE_STATEMENT.test(text.slice(at, at + 40))) return endOfNesting(text, at, ';');
  return at + 1;
}

function endOfString(text: string, at: number): number {
  for (let end = at + 1; ; end += 1) {
    if (text[end] === '\\') end += 1;
    else if (text[end] === '"') return end + 1;
  }
}

/** Behind the first `closing` outside of strings and brackets that open after `at`. */
function endOfNesting(text: string, at: number, closing: string): number {
  let depth = 0;
  for (let end = at; end < text.length; ) {
    const char = text.charAt(end);
    if (char === '"') {
      end = endOfString(text, end);
      continue;
    }
    if ('[{('.includes(char)) depth += 1;
    if (']})'.includes(char)) depth -= 1;
    end += 1;
    if (char === closing && depth === 0) return end;
  }
  throw new Error(`no ${closing} after ${text.slice(at, at + 40)}`);
}

function keptOptions(list: string): string {
  const kept = splitOptions(list).filter((option) => !RULE.test(option.trim()));
  return kept.length === 0 ? '' : `[${kept.join(',')}]`;
}

function splitOptions(list: string): string[] {
  const options: string[] = [];
  let rest = `${list},`;
  while (rest.trim() !== '') {
    const end = endOfNesting(rest, 0, ',');
    options.push(rest.slice(0, end - 1));
    rest = rest.slice(end);
  }
  return options;
}
