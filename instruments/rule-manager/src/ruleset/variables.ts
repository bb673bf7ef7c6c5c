/**
 * Variables that the suricata instrument's configuration defines. Suricata refuses a whole set for
 * one rule that uses another; a test holds this list and the instrument together.
 */
export const ADDRESS_VARIABLES: ReadonlySet<string> = new Set([
  "HOME_NET",
  "EXTERNAL_NET",
  "AIM_SERVERS",
  "HTTP_SERVERS",
  "SMTP_SERVERS",
  "SQL_SERVERS",
  "DNS_SERVERS",
  "TELNET_SERVERS",
  "DC_SERVERS",
  "DNP3_SERVER",
  "DNP3_CLIENT",
  "MODBUS_CLIENT",
  "MODBUS_SERVER",
  "ENIP_CLIENT",
  "ENIP_SERVER",
]);

export const PORT_VARIABLES: ReadonlySet<string> = new Set([
  "HTTP_PORTS",
  "SHELLCODE_PORTS",
  "ORACLE_PORTS",
  "SSH_PORTS",
  "DNP3_PORTS",
  "MODBUS_PORTS",
  "FILE_DATA_PORTS",
  "FTP_PORTS",
  "GENEVE_PORTS",
  "VXLAN_PORTS",
  "TEREDO_PORTS",
]);
