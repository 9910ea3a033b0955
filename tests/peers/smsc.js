// A message centre on the npm package `smpp`: somebody else's codec and sessions at the other end of the bridge.
// usage: node smsc.js [latency ms]   Prints {"port": n}, then one line of JSON for each thing that happens.
// Lines on stdin: {"do": "deliver", "from": …, "to": …, "text": …}, {"do": "unbind"}, {"do": "enquire"}.
'use strict';

const smpp = require('smpp');
const readline = require('readline');

const latency = Number(process.argv[2] || 0);
const sessions = new Set();
let lastId = 1000;

function say(kind, fields) {
  process.stdout.write(JSON.stringify({ kind, ...fields }) + '\n');
}

function text(pdu) {
  const short = pdu.short_message && pdu.short_message.message;
  const content = short && short.length ? short : pdu.message_payload && pdu.message_payload.message;
  return Buffer.isBuffer(content) ? { hex: content.toString('hex') } : { text: content };
}

function receipt(session, pdu, id) {
  session.deliver_sm({
    source_addr: pdu.destination_addr,
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    destination_addr: pdu.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
    receipted_message_id: id,
    message_state: smpp.MESSAGE_STATE.DELIVERED,
    short_message: `id:${id} sub:001 dlvrd:001 submit date:2611251200 done date:2611251201 stat:DELIVRD err:000 text:`,
  }, (answer) => say('receipt_resp', { status: answer.command_status, id }));
}

function submitted(session, pdu) {
  const id = (++lastId).toString(16);
  const udh = pdu.short_message && pdu.short_message.udh;
  say('submit', {
    id,
    to: pdu.destination_addr,
    from: pdu.source_addr,
    ton: pdu.source_addr_ton,
    coding: pdu.data_coding,
    validity: pdu.validity_period,
    udh: udh ? udh.map((part) => part.toString('hex')) : null,
    sar: pdu.sar_total_segments ? [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum] : null,
    ...text(pdu),
  });
  setTimeout(() => {
    session.send(pdu.response({ message_id: id }));
    if (pdu.registered_delivery & 1) receipt(session, pdu, id.toUpperCase());
  }, latency);
}

const server = smpp.createServer({}, (session) => {
  const bind = (pdu) => {
    const good = pdu.system_id === 'bridge' && pdu.password === 'secret';
    say('bind', { command: pdu.command, system_id: pdu.system_id, good });
    session.send(pdu.response(good ? { system_id: 'node' } : { command_status: smpp.ESME_RINVPASWD }));
    if (good) sessions.add(session);
  };
  session.on('bind_transceiver', bind);
  session.on('bind_transmitter', bind);
  session.on('bind_receiver', bind);
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    say('unbind', {});
    session.send(pdu.response());
    session.close();
  });
  session.on('close', () => sessions.delete(session));
  session.on('error', () => sessions.delete(session));
});

server.listen(0, '127.0.0.1', () => process.stdout.write(JSON.stringify({ port: server.address().port }) + '\n'));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  for (const session of sessions) {
    if (asked.do === 'deliver') {
      session.deliver_sm({
        source_addr: asked.from,
        source_addr_ton: 1,
        source_addr_npi: 1,
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        destination_addr: asked.to,
        short_message: asked.text,
      }, (answer) => say('deliver_resp', { status: answer.command_status }));
    } else if (asked.do === 'unbind') {
      session.unbind((answer) => {
        say('unbind_resp', { status: answer.command_status });
        session.close();
      });
    } else if (asked.do === 'enquire') {
      session.enquire_link((answer) => say('enquire_resp', { status: answer.command_status }));
    }
  }
}).on('close', () => process.exit(0));
