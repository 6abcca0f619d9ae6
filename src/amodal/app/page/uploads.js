// Pictures that were dropped, pasted or chosen: number -> {name, url to show, vector to ask with}. They live as long as
// the tab, and are sent once.
import { ask, service } from "./service.js";

export const uploads = new Map();
let latest = Date.now(); // so that a number which an older entry of the history holds is never another picture's

const base64 = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });

// -> the number. Throws where the file is no picture, or none that the service takes.
export async function upload(file) {
  const most = service.value.limits?.bytes;
  if (!file.type.startsWith("image/")) throw new Error(`${file.name} is not a picture.`);
  if (most && file.size > most)
    throw new Error(`${file.name} has ${megabytes(file.size)} MB and ${megabytes(most)} MB are taken; make it smaller.`);
  const number = ++latest;
  const name = file.name || "pasted picture";
  const { pictures } = await ask("/api/encode", { pictures: [{ data: await base64(file) }] }).catch((error) => {
    throw new Error(`${name}: ${error.message}`);
  });
  uploads.set(number, { name, url: URL.createObjectURL(file), vector: pictures[0] });
  return number;
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

export const picturesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

// A chip or a shown picture -> as the service takes it, and as it is drawn.
export const sent = (each) => (each.upload ? { vector: uploads.get(each.upload).vector } : { content: each.content });
export const thumbnail = (each) =>
  each.upload ? uploads.get(each.upload).url : `/api/pictures/${each.content}/thumbnail`;
export const nameOf = (each) => (each.upload ? uploads.get(each.upload).name : "a picture of the index");
