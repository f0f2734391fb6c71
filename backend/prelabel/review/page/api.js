// The server's answers. All addresses are relative, since the page may lie under any path.

/** The server answered that it cannot; the message is for the reader. */
export class Refused extends Error {}

/** No answer at all. */
export class ConnectionLost extends Error {}

let token = document.querySelector("meta[name=prelabel-token]").content;

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ConnectionLost("No connection to prelabel.");
  }
  if (response.ok) return response;
  let message = "";
  try {
    message = (await response.json()).error;
  } catch { /* not JSON */ }
  const refused = new Refused(message || `The server answered ${response.status}.`);
  refused.status = response.status;
  throw refused;
}

/** A server that was started anew has another token, which stands in its page. */
async function renewToken() {
  const text = await (await request("./")).text();
  const page = new DOMParser().parseFromString(text, "text/html");
  const found = page.querySelector("meta[name=prelabel-token]")?.content;
  const changed = Boolean(found) && found !== token;
  if (changed) token = found;
  return changed;
}

async function post(path, body) {
  const send = () => request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Prelabel-Token": token },
    body: JSON.stringify(body),
  });
  try {
    return await (await send()).json();
  } catch (error) {
    if (error.status !== 403 || !(await renewToken())) throw error;
    return (await send()).json();
  }
}

const getJson = async (path, options) => (await request(path, options)).json();

/** What changed since a version, or null. */
export async function getState(since) {
  const query = since === null ? "" : `?since=${since}`;
  const response = await request(`api/state${query}`, { signal: AbortSignal.timeout(10_000) });
  return response.status === 204 ? null : response.json();
}

export const getRegions = (id, offset, limit) =>
  getJson(`api/classes/${id}/regions?offset=${offset}&limit=${limit}`);
export const getPhoto = (region) => getJson(`api/regions/${region}/photo`);
export const getFigures = () => getJson("api/figures");
export const getMap = async () => (await request("api/map")).arrayBuffer();
export const postEdit = (edit) => post("api/edits", edit);
export const postPush = () => post("api/push", {});
export const thumbnail = (region) => `api/regions/${region}/thumbnail`;
export const image = (photo) => `api/photos/${photo}/image`;
