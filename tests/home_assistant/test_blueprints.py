"""The blueprints of docs/examples, each with what it is there for."""

from __future__ import annotations

from pathlib import Path

from tests.home_assistant.core import home_assistant, until
from tests.support.plug_stack import plugging
from tests.support.stack import Emulation

ANNA, BELA = "+36301234567", "+36209876543"
CONFIG = f"""\
usb: {{discover: false}}
virtual_modems: {{count: 1, latency: 0}}
contacts:
  anna: "{ANNA}"
  bela: "{BELA}"
groups:
  family: [bela]
"""
HOUSE = """\
webhook:
input_text: {heard: }
input_boolean: {asked: }
alarm_control_panel:
  - {platform: manual, name: House, code_arm_required: false, arming_time: 0, delay_time: 0, trigger_time: 60}
script:
  sms_send:
    use_blueprint: {path: sms_bridge/script_sms_send.yaml}
automation:
  - alias: Old event
    use_blueprint: {path: sms_bridge/automation_incoming_sms.yaml}
  - alias: An old automation
    triggers: [{trigger: event, event_type: sms.incoming_sms}]
    actions:
      - action: input_text.set_value
        target: {entity_id: input_text.heard}
        data: {value: "{{ trigger.event.data.phone }}: {{ trigger.event.data.text }}"}
  - alias: Answer
    use_blueprint:
      path: sms_bridge/automation_answer.yaml
      input:
        word: status
        contacts: [anna]
        answer: All is well.
        action: [{action: input_boolean.turn_on, target: {entity_id: input_boolean.asked}}]
  - alias: Alarm
    use_blueprint: {path: sms_bridge/automation_alarmo.yaml, input: {panel: alarm_control_panel.house}}
  - alias: Alerts
    use_blueprint: {path: sms_bridge/automation_alertmanager.yaml, input: {webhook: a-long-id, to: "@anna"}}
"""
ALERT = {
    "status": "firing",
    "alerts": [{"labels": {"alertname": "DiskFull"}, "annotations": {"summary": "99 % of /"}}],
}


def sent(phones: Emulation, number: str) -> list[str]:
    return [line["text"] for line in phones.ledger("submit") if line["accepted"] and line["to"] == number]


def test_each_blueprint_does_its_work(tmp_path: Path) -> None:
    with (
        plugging(tmp_path, config=CONFIG, start=False) as stack,
        home_assistant(tmp_path / "ha", stack.broker.port, HOUSE) as house,
    ):
        stack.bridge.start()
        phones = Emulation(tmp_path / "data" / "virtual", 1)
        house.wait_state("binary_sensor.modem_virtual_1_connected", "on")

        house.call("script.turn_on", "script.sms_send", variables={"to": "@bela", "message": 'the "front" door'})
        until(lambda: sent(phones, BELA) == ['the "front" door'], "the script has sent")

        phones.do("deliver", modem=0, **{"from": BELA, "text": "Status"})
        # Home Assistant makes a number of what looks like one in the data of an event.
        house.wait_state("input_text.heard", f"{BELA[1:]}: Status")
        phones.do("deliver", modem=0, **{"from": ANNA, "text": " status "})
        until(lambda: sent(phones, ANNA) == ["All is well."], "who may ask is answered")
        house.wait_state("input_boolean.asked", "on")
        assert sent(phones, BELA) == ['the "front" door']

        house.webhook("a-long-id", ALERT)
        until(lambda: sent(phones, ANNA)[1:] == ["FIRING: DiskFull. 99 % of /"], "the alert")

        house.call("alarm_control_panel.alarm_arm_away", "alarm_control_panel.house")
        house.wait_state("alarm_control_panel.house", "armed_away")
        house.call("alarm_control_panel.alarm_trigger", "alarm_control_panel.house")
        until(lambda: sent(phones, BELA)[1:] == ["ALARM at home"], "the alarm")
        house.call("alarm_control_panel.alarm_disarm", "alarm_control_panel.house")
        until(lambda: sent(phones, BELA)[2:] == ["ALARM at home: over, disarmed"], "and that it is over")
